import { arcTask } from '../arc/task';

/** The questions that both a retrieval and a co-occurrence method got wrong. */
export const arcChallenge = arcTask('arc_challenge', 'ARC-Challenge');
