import { DataError } from '@vwn/core';
import { arcChallenge, arcEasy } from './arc/task';
import { hellaswag } from './hellaswag/task';
import type { Task } from './task';

const tasks: readonly Task[] = [arcChallenge, arcEasy, hellaswag];

export function taskNames(): string[] {
  return tasks.map(({ name }) => name);
}

/** @throws DataError listing the known tasks */
export function findTask(name: string): Task {
  const task = tasks.find((each) => each.name === name);
  if (task) return task;
  throw new DataError(`there is no task called ${name}`, { expected: `one of ${taskNames().join(', ')}` });
}
