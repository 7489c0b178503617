/** The command line with vwn-cuda linked in, for a machine without node_modules. */
import '@vwn/kernels-cuda';
import '../../apps/cli/dist/main.js';
