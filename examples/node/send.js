// A sender made from the .proto files alone: no Sidelight library, nothing generated.
//
//   npm ci && node send.js [model name]
//
// It says that a model was loaded, records predictions one by one (rows) and in bulk (columns), brings a label,
// sends one message twice, and does the bulk again over a stream. Exit status: 0 when the agent took everything and
// has it on disk, 1 when it refused anything, 2 when it could not be reached.
import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import grpc from '@grpc/grpc-js';
import loader from '@grpc/proto-loader';
import * as messages from './messages.js';
import { COLUMNS_ROWS, ROWS } from './messages.js';

const ENDPOINT = process.env.SIDELIGHT_ENDPOINT || 'unix:/run/sidelight/agent.sock';
const MODEL = process.argv[2] ?? 'example-node';
const DEADLINE_MILLISECONDS = 10_000;

function connect(endpoint) {
  const definition = loader.loadSync('sidelight/v1/recorder.proto', {
    includeDirs: [fileURLToPath(new URL('../../proto', import.meta.url))],
    keepCase: true,
    longs: Number, // what comes back are counts
    enums: String,
    defaults: true,
  });
  const { Recorder } = grpc.loadPackageDefinition(definition).sidelight.v1;
  return new Recorder(endpoint, grpc.credentials.createInsecure());
}

// Unique per process start; with a sequence that counts from 1 the agent knows a message it has seen before.
const clientId = `node-${process.pid}-${randomUUID()}`;
let sequence = 0;
let recorded = 0;

// Stamps the next message, of so many predictions.
function request(predictions, body) {
  sequence += 1;
  recorded += predictions;
  return {
    model: { name: MODEL, version: '7', deployment: 'node' },
    client_id: clientId,
    sequence,
    sent_at_unix_nano: messages.nowUnixNano(),
    report: { recorded, language: 'node', client_version: '0.1.0' },
    ...body,
  };
}

const deadline = () => new Date(Date.now() + DEADLINE_MILLISECONDS);

function record(client, message) {
  return new Promise((resolve, reject) => {
    client.Record(message, { deadline: deadline() }, (error, response) => (error ? reject(error) : resolve(response)));
  });
}

// One response per request, in order; the call ends when both sides are done.
function recordStream(client, sent) {
  return new Promise((resolve, reject) => {
    const answers = [];
    const call = client.RecordStream({ deadline: deadline() });
    call.on('data', (response) => answers.push(response));
    call.on('error', reject);
    call.on('end', () => resolve(answers));
    for (const message of sent) call.write(message);
    call.end();
  });
}

// Prints one answer. Returns what is wrong with it, as sentences: an empty list is a good answer.
function report(what, expected, response) {
  const { accepted, duplicate, durable, refusals, hints } = response;
  const wishes = hints?.max_rows_per_message ? `, at most ${hints.max_rows_per_message} rows a message please` : '';
  console.log(
    `${what.padEnd(26)} accepted ${String(accepted).padStart(4)} of ${String(expected).padStart(4)}` +
      `${duplicate ? ', seen before: not counted again' : ''}${durable ? '' : ', NOT on disk'}${wishes}`,
  );
  const faults = refusals.map((r) => `${what}: ${r.count} refused, ${r.reason} ${r.field}: ${r.detail}`);
  if (accepted !== expected) faults.push(`${what}: ${accepted} accepted, ${expected} sent`);
  if (!durable) faults.push(`${what}: the agent could not write it to its disk`);
  return faults;
}

async function converse(client) {
  const run = randomUUID().slice(0, 8); // prediction ids are unique for ever, so each run has its own prefix
  const faults = [];
  const send = async (what, expected, message) => {
    const response = await record(client, message);
    faults.push(...report(what, expected, response));
    return response;
  };

  await send('model loaded', 1, request(0, messages.loaded()));
  const rows = request(ROWS, messages.rows(run));
  await send('rows', ROWS, rows);
  await send('columns', COLUMNS_ROWS, request(COLUMNS_ROWS, messages.columns(`${run}-a-`)));
  await send('label', 1, request(0, messages.label(run)));

  // As after a lost answer: the same message with the same sequence.
  const again = await send('rows, sent again', ROWS, rows);
  if (!again.duplicate) faults.push('rows, sent again: the agent counted them twice');

  const stream = ['b', 'c'].map((part) => request(COLUMNS_ROWS, messages.columns(`${run}-${part}-`)));
  const answers = await recordStream(client, stream);
  answers.forEach((answer, i) => faults.push(...report(`stream, columns ${i + 1}`, COLUMNS_ROWS, answer)));
  if (answers.length !== stream.length) faults.push(`stream: ${answers.length} answers to ${stream.length} messages`);
  return faults;
}

const client = connect(ENDPOINT);
try {
  console.log(`${MODEL} to ${ENDPOINT}`);
  const faults = await converse(client);
  for (const fault of faults) console.error(fault);
  process.exitCode = faults.length ? 1 : 0;
} catch (error) {
  console.error(`no answer from ${ENDPOINT}: ${error.message}`);
  process.exitCode = 2;
} finally {
  client.close();
}
