import { engine, type KernelBackend } from '@tensorflow/tfjs-core';
import type { TensorData } from './tensor-data';

/** A dataId that a backend of ours made: it holds its own data while that is at home. */
export class OwnDataId {
  data: TensorData | undefined;

  constructor(readonly home: KernelBackend) {}
}

/**
 * What tfjs's `DataStorage` does: data by dataId, moved here from another backend when it is first asked for. Data of
 * the backend's own dataIds stand in them, since a step of training makes and drops thousands; others' are looked up.
 */
export class TensorMap {
  private readonly moved = new WeakMap<object, TensorData>();
  private size = 0;

  constructor(private readonly backend: KernelBackend) {}

  get(dataId: object): TensorData {
    const found = this.find(dataId);
    if (found) return found;
    engine().moveData(this.backend, dataId);
    return this.find(dataId) as TensorData;
  }

  set(dataId: object, data: TensorData): void {
    if (!this.has(dataId)) this.size++;
    if (this.isHome(dataId)) dataId.data = data;
    else this.moved.set(dataId, data);
  }

  has(dataId: object): boolean {
    return this.find(dataId) !== undefined;
  }

  delete(dataId: object): boolean {
    if (!this.has(dataId)) return false;
    this.size--;
    if (this.isHome(dataId)) dataId.data = undefined;
    else this.moved.delete(dataId);
    return true;
  }

  numDataIds(): number {
    return this.size;
  }

  private find(dataId: object): TensorData | undefined {
    return this.isHome(dataId) ? dataId.data : this.moved.get(dataId);
  }

  private isHome(dataId: object): dataId is OwnDataId {
    return dataId instanceof OwnDataId && dataId.home === this.backend;
  }
}
