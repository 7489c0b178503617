import type { NativeLibrary, NativeRecordings } from './native-library';
import { kernelFailed, nativeFailure } from './native-text';

/** Native calls that are run again and again: each in its turn, or all as the recording that the library keeps of them. */
export class CallList {
  private recording: number | undefined;

  constructor(
    private readonly library: NativeLibrary,
    private readonly calls: Float64Array,
  ) {}

  /** @throws BackendError with the function's name and its own text */
  run(): void {
    try {
      if (this.library.recordings) this.play(this.library.recordings);
      else this.library.runAll(this.calls);
    } catch (error) {
      const name = this.library.functions[this.library.arguments[0] as number];
      if (name !== undefined) throw kernelFailed(name, error);
      throw nativeFailure('captured kernels cannot be run again', error);
    }
  }

  dispose(): void {
    if (this.recording !== undefined) this.library.recordings?.release(this.recording);
    this.recording = undefined;
  }

  private play(recordings: NativeRecordings): void {
    if (this.recording !== undefined && recordings.play(this.recording)) return;
    this.dispose();
    this.recording = recordings.record(this.calls);
    if (!recordings.play(this.recording)) throw new Error('what has just been recorded is out of date already');
  }
}
