// What the example says about its predictions: the bodies of RecordRequest, as proto/sidelight/v1 names them.

export const ROWS = 3;
export const COLUMNS_ROWS = 500;

// Nanoseconds since the epoch do not fit a double: they travel as text until they are a fixed64.
export const nowUnixNano = () => (BigInt(Date.now()) * 1_000_000n).toString();

export const loaded = () => ({
  lifecycle: {
    events: [
      {
        time_unix_nano: nowUnixNano(),
        loaded: { task: 'TASK_BINARY', positive_label: 'leaves', threshold: 0.5, load_seconds: 0.8, framework: 'onnx' },
      },
    ],
  },
});

// Absent, null and NaN are three things: leave a key out, name it in `nulls`, send NaN.
const INPUTS = [
  { numbers: { age: 41, tenure_months: 18 }, texts: { plan: 'basic' }, flags: { has_app: true } },
  { numbers: { age: NaN, tenure_months: 3 }, texts: { plan: 'plus' }, flags: { has_app: false } },
  { numbers: { tenure_months: 60 }, texts: { plan: 'basic' }, nulls: ['age'] },
];

export const predictionId = (run, i) => `${run}-row-${i}`;

export const rows = (run) => ({
  rows: {
    rows: INPUTS.map((input, i) => ({
      prediction_id: predictionId(run, i),
      time_unix_nano: nowUnixNano(),
      ...input,
      outputs: [{ label: i === 1 ? 'leaves' : 'stays', scores: { '': i === 1 ? 0.81 : 0.12 } }],
      latency_seconds: 0.004 + i / 1000,
      stages: [{ name: 'inference', offset_seconds: 0.001, duration_seconds: 0.003 }],
      segments: { region: i === 0 ? 'eu' : 'us' },
    })),
  },
});

export const label = (run) => ({
  labels: { labels: [{ prediction_id: predictionId(run, 1), label: 'leaves', time_unix_nano: nowUnixNano() }] },
});

// A bit a row, least significant first: set where `test` holds.
function bitmap(length, test) {
  const bits = Buffer.alloc(Math.ceil(length / 8));
  for (let i = 0; i < length; i += 1) if (test(i)) bits[i >> 3] |= 1 << (i & 7);
  return bits;
}

// The bulk form: one packed array a feature. Ids are a prefix and a number, texts a dictionary and codes.
export function columns(prefix, length = COLUMNS_ROWS) {
  const each = (value) => Array.from({ length }, (_, i) => value(i));
  const score = (i) => ((i * 37) % 100) / 100;
  const now = nowUnixNano();
  return {
    columns: {
      rows: length,
      id_prefix: prefix,
      id_numbers: each((i) => i),
      time_unix_nano: each(() => now),
      numbers: [
        { name: 'age', values: each((i) => 18 + (i % 60)), nulls: bitmap(length, (i) => i % 50 === 0) },
        { name: 'tenure_months', values: each((i) => (i * 7) % 72) },
      ],
      texts: [{ name: 'plan', dictionary: ['basic', 'plus', 'family'], codes: each((i) => i % 3) }],
      flags: [{ name: 'has_app', values: each((i) => i % 4 !== 0) }],
      outputs: [
        {
          labels: { dictionary: ['stays', 'leaves'], codes: each((i) => (score(i) >= 0.5 ? 1 : 0)) },
          scores: [{ values: each(score) }],
        },
      ],
      latency_seconds: each((i) => 0.004 + (i % 10) / 1000),
      segments: [{ name: 'region', dictionary: ['eu', 'us'], codes: each((i) => i % 2) }],
    },
  };
}
