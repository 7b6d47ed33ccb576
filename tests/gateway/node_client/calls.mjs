// Calls the gateway with the official client: one JSON object per line in, one per line out.
// In: {key, call: "chat.completions.create", arguments: [...], options: {...}, is_raw}. A file is {"$file": base64, name}.
// Out: {came} or, of a stream, {events}; {bytes} of sound; or {raised: {name, status, code, param, type, message, request_id}}.
import { createInterface } from 'node:readline';
import OpenAI, { toFile } from 'openai';

const baseURL = process.argv[2];

async function withFiles(value) {
  if (Array.isArray(value)) return Promise.all(value.map(withFiles));
  if (value === null || typeof value !== 'object') return value;
  if ('$file' in value) return toFile(Buffer.from(value.$file, 'base64'), value.name);
  const entries = Object.entries(value).map(async ([name, inner]) => [name, await withFiles(inner)]);
  return Object.fromEntries(await Promise.all(entries));
}

async function call({ key, call, arguments: given, options }) {
  const client = new OpenAI({ apiKey: key, baseURL, maxRetries: 0, timeout: 60_000, ...options });
  const path = call.split('.');
  const method = path.pop();
  const owner = path.reduce((found, name) => found[name], client);
  const came = await owner[method](...(await withFiles(given)));
  if (came instanceof Response) return { bytes: Buffer.from(await came.arrayBuffer()).toString('base64') };
  // Pages of a list can be iterated as well; only streams have a controller.
  if (came?.controller) {
    const events = [];
    for await (const event of came) events.push(event);
    return { events };
  }
  return { came };
}

function raised(error) {
  const { status, code, param, type, message } = error;
  return { raised: { name: error.constructor.name, status, code, param, type, message, request_id: error.requestID } };
}

for await (const line of createInterface({ input: process.stdin })) {
  let said;
  try {
    said = await call(JSON.parse(line));
  } catch (error) {
    said = raised(error);
  }
  process.stdout.write(`${JSON.stringify(said)}\n`);
}
