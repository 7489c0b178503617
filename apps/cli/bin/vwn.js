#!/usr/bin/env node
// A checked-in stub, so that the workspace links `vwn` before the first build.
import '../dist/main.js';
