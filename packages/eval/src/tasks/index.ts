import { ConfigError } from '@vwn/core';
import { arcChallenge } from './arc_challenge/task';
import { arcEasy } from './arc_easy/task';
import { hellaswag } from './hellaswag/task';
import { perplexity } from './perplexity/task';
import type { Task } from './task';

const tasks: readonly Task[] = [arcChallenge, arcEasy, hellaswag, perplexity];

/** Names that {@link findTask} knows. */
export function taskNames(): string[] {
  return tasks.map(({ name }) => name);
}

/** @throws ConfigError for a name that is not a task's */
export function findTask(name: string): Task {
  const task = tasks.find((each) => each.name === name);
  if (task) return task;
  throw new ConfigError(`there is no task ${JSON.stringify(name)}`, {
    expected: taskNames().join(', '),
    hint: 'docs/add-a-task.md says how to add one',
  });
}
