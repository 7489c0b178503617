import { arcTask } from '../arc/task';

/** The other questions. */
export const arcEasy = arcTask('arc_easy', 'ARC-Easy');
