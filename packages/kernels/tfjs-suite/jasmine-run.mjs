/** Jasmine with its globals, in the order of declaration, collecting what became of each spec. */
import Jasmine from 'jasmine';

export class JasmineRun {
  #specs = [];
  #suiteFailures = [];
  #current = 'none';
  #env;
  #verbose;

  /** Creates the globals (describe, it, ...) that the tests want when they are loaded. */
  constructor({ filter, verbose }) {
    const runner = new Jasmine();
    runner.clearReporters();
    this.#verbose = verbose;
    this.#env = runner.env;
    // Duplicate names: tfjs has them. Order: a failure should come back in the next run.
    this.#env.configure({
      random: false,
      forbidDuplicateNames: false,
      specFilter: (spec) => spec.getFullName().includes(filter),
    });
    this.#env.addReporter({
      specStarted: ({ fullName }) => void (this.#current = fullName),
      specDone: ({ fullName, status, failedExpectations }) =>
        this.#specs.push({ name: fullName, status, messages: messagesOf(failedExpectations) }),
      suiteDone: (suite) => this.#addSuiteFailures(`set-up or tear-down of '${suite.fullName}'`, suite),
      jasmineDone: (whole) => this.#addSuiteFailures('the run as a whole', whole),
    });
  }

  /**
   * @returns `specs`: name, status ('passed', 'failed', 'pending' or, left out by the filter, 'excluded') and failure
   * messages of each; `suiteFailures`: what failed outside specs; `seconds`
   */
  async execute() {
    // A backend that calls process.exit(0), or a promise that nothing will settle, must not look like success.
    const dangling = () => {
      process.exitCode = 1;
      process.stderr.write(`The process ended inside the suite, in or after the spec: ${this.#current}\n`);
    };
    process.once('exit', dangling);
    const restoreConsole = this.#verbose ? () => {} : silenceConsole();
    const start = performance.now();
    try {
      await this.#env.execute();
    } finally {
      process.off('exit', dangling);
      restoreConsole();
    }
    const seconds = (performance.now() - start) / 1000;
    return { specs: this.#specs, suiteFailures: this.#suiteFailures, seconds };
  }

  #addSuiteFailures(name, { failedExpectations }) {
    if (failedExpectations.length > 0) this.#suiteFailures.push({ name, messages: messagesOf(failedExpectations) });
  }
}

function messagesOf(failedExpectations) {
  return failedExpectations.map(({ message, stack }) => message || stack || 'failed without a message');
}

/** tfjs warns of much that its tests do on purpose. */
function silenceConsole() {
  const methods = ['log', 'info', 'warn', 'error', 'debug'];
  const { console: output } = globalThis;
  const kept = methods.map((method) => [method, output[method]]);
  for (const method of methods) output[method] = () => {};
  return () => void Object.assign(output, Object.fromEntries(kept));
}
