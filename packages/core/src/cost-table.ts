import type { CostColumn, CostReport, ForwardFlops } from './cost';

const parts: readonly [keyof ForwardFlops, string][] = [
  ['backbone', 'attention and feed-forward'],
  ['embedding', 'embedding expansion'],
  ['connectionNorm', 'connections: norm'],
  ['dynamicCoefficients', 'connections: dynamic coefficients'],
  ['widthConnection', 'connections: width'],
  ['depthConnection', 'connections: depth'],
  ['reduce', 'reduce operator'],
  ['unembedding', 'unembedding'],
  ['multiToken', 'multi-token heads'],
];

/** A cost report as rows of text: the model, the plain one, the naively widened one. The first row is the head. */
export function costTable({ model, plain, widened, r, traffic, options }: CostReport): string[][] {
  const columns = [model, plain, widened];
  const row = (label: string, value: (column: CostColumn) => number, unit: string) => [
    label,
    ...columns.map((column) => `${scaled(value(column))}${unit}`),
  ];
  const flops = parts
    .filter(([key]) => columns.some((column) => column.flops[key] > 0))
    .map(([key, label]) => row(`  ${label}`, (column) => column.flops[key], 'FLOP'));
  const ratio = (value: (column: CostColumn) => number) =>
    columns.map((column) => `${(value(column) / value(plain)).toFixed(2)}x`);
  return [
    ['', 'this model', 'plain', `plain, ${Number(r.toFixed(3))}x as wide`],
    row('parameters', (column) => column.parameters, ''),
    ['', ...ratio((column) => column.parameters)],
    row('forward, a token', (column) => column.flops.total, 'FLOP'),
    ...flops,
    ['', ...ratio((column) => column.flops.total)],
    row('training, a token', (column) => column.trainingFlops, 'FLOP'),
    row(
      `activations, ${options.batchSize} x ${options.sequenceLength} tokens`,
      (column) => column.activationBytes,
      'B',
    ),
    ['', ...ratio((column) => column.activationBytes)],
    [
      'traffic a token a sublayer, in D elements',
      `${traffic.fused} fused, ${traffic.paper} as in the paper, ${traffic.opByOp} op by op`,
    ],
  ];
}

function scaled(value: number): string {
  const units: [number, string][] = [
    [1e12, ' T'],
    [1e9, ' G'],
    [1e6, ' M'],
    [1e3, ' k'],
  ];
  const [size, unit] = units.find(([each]) => value >= each) ?? [1, ' '];
  return `${(value / size).toPrecision(4)}${unit}`;
}
