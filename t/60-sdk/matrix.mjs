// SPDX-License-Identifier: Apache-2.0
// What the official OpenAI SDK can ask, at every stand: the simulated provider alone, in both dialects, and the gateway before it. The same
// tests for all: whoever talks to the gateway must not notice it. Each is audited to the token.
import { strict as assert } from 'node:assert';
import test, { after } from 'node:test';
import { zodFunction, zodResponseFormat } from 'openai/helpers/zod';
import { z } from 'zod';
import { audit, collect, sameUsage, say, stand, startGateway, startSim, textOf } from './stand.mjs';

const openaiSim = await startSim({ dialect: 'openai' });
const azureSim = await startSim({ dialect: 'azure-openai' });
const gateway = await startGateway({
  providers: { plain: { sim: openaiSim }, dated: { sim: azureSim, options: ", api_version: '2024-10-21'" }, azure: { sim: azureSim } },
  models: ['gpt-4o', 'text-embedding-3-small'].map((m) => `  ${m}: [{provider: plain, model: ${m}}]\n  dated-${m}: [{provider: dated, model: ${m}}]\n  azure-${m}: [{provider: azure, model: ${m}}]\n`).join(''),
});
const servers = [gateway, openaiSim, azureSim];
after(async () => { for (const s of servers) await s.stop(); });

const through = (prefix) => ({ gateway, model: `${prefix}gpt-4o`, embedding: `${prefix}text-embedding-3-small` });
const stands = [
  stand({ name: 'sim openai', sim: openaiSim, base: '/v1' }),
  stand({ name: 'sim azure-openai, deployments', sim: azureSim, kind: 'azure' }),
  stand({ name: 'sim azure-openai, v1', sim: azureSim, base: '/openai/v1' }),
  stand({ name: 'gateway to openai', sim: openaiSim, base: '/v1', ...through('') }),
  stand({ name: 'gateway to azure-openai, deployments', sim: azureSim, base: '/v1', ...through('dated-') }),
  stand({ name: 'gateway to azure-openai, v1', sim: azureSim, base: '/openai/v1', ...through('azure-') }),
  stand({ name: 'Azure client to gateway to openai', sim: openaiSim, kind: 'azure', ...through('') }),
];

// name, what is done; it gets the client, the model's names and the stand, and is audited as a whole
const cases = [];
const on = (name, body) => cases.push([name, body]);

const WEATHER = { type: 'function', function: { name: 'get_weather', description: 'The weather of a place', parameters: {
  type: 'object', properties: { city: { type: 'string' }, unit: { type: 'string', enum: ['celsius', 'fahrenheit'] } }, required: ['city', 'unit'], additionalProperties: false } } };
const TIME = { type: 'function', function: { name: 'get_time', parameters: { type: 'object', properties: { zone: { type: 'string' } }, required: ['zone'] } } };
const Recipe = z.object({ title: z.string(), minutes: z.number().int(), steps: z.array(z.string()), vegetarian: z.boolean() });
const PIXEL = 'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

function weatherCall(call) {
  assert.match(call.id, /^call_/);
  assert.equal(call.function.name, 'get_weather');
  const args = JSON.parse(call.function.arguments);
  assert.equal(typeof args.city, 'string');
  assert.ok(['celsius', 'fahrenheit'].includes(args.unit));
}

on('a chat is answered with as many tokens as were asked', async ({ openai, model }) => {
  const r = await openai.chat.completions.create({ model, messages: say(7) });
  assert.equal(r.object, 'chat.completion');
  assert.equal(r.choices[0].finish_reason, 'stop');
  assert.ok(r.choices[0].message.content.length > 7);
  assert.equal(r.usage.completion_tokens, 7);
  return r.usage;
});

on('a streamed chat arrives in pieces and shows no usage unasked', async ({ openai, model }) => {
  const chunks = await collect(await openai.chat.completions.create({ model, messages: say(9), stream: true }));
  assert.equal(chunks.find((c) => c.choices.length).choices[0].delta.role, 'assistant');
  assert.ok(chunks.filter((c) => c.choices[0]?.delta.content).length >= 9);
  assert.equal(chunks.filter((c) => c.choices.length).at(-1).choices[0].finish_reason, 'stop');
  assert.equal(new Set(chunks.filter((c) => c.id).map((c) => c.id)).size, 1);
  assert.ok(chunks.every((c) => !c.usage));
  return (delta) => assert.equal(delta.output_tokens, 9);
});

on('a streamed chat ends with its usage when asked', async ({ openai, model }) => {
  const chunks = await collect(await openai.chat.completions.create({ model, messages: say(9), stream: true, stream_options: { include_usage: true } }));
  assert.deepEqual(chunks.at(-1).choices, []);
  assert.ok(chunks.slice(0, -1).every((c) => !c.usage));
  return chunks.at(-1).usage;
});

on('include_usage: false keeps usage away', async ({ openai, model }) => {
  const chunks = await collect(await openai.chat.completions.create({ model, messages: say(3), stream: true, stream_options: { include_usage: false } }));
  assert.ok(chunks.every((c) => !c.usage));
});

on('streamed and whole answers to one prompt are the same text', async ({ openai, model }) => {
  const whole = await openai.chat.completions.create({ model, messages: say(40), seed: 5 });
  const chunks = await collect(await openai.chat.completions.create({ model, messages: say(40), seed: 5, stream: true }));
  assert.equal(textOf(chunks), whole.choices[0].message.content);
});

on('a required tool is called with arguments that fit its schema', async ({ openai, model }) => {
  const r = await openai.chat.completions.create({ model, messages: say(5), tools: [WEATHER, TIME], tool_choice: { type: 'function', function: { name: 'get_weather' } } });
  assert.equal(r.choices[0].finish_reason, 'tool_calls');
  assert.equal(r.choices[0].message.content, null);
  weatherCall(r.choices[0].message.tool_calls[0]);
  return r.usage;
});

on('tool calls in parallel', async ({ openai, model }) => {
  const r = await openai.chat.completions.create({ model, messages: [{ role: 'user', content: 'call every tool' }], tools: [WEATHER, TIME] });
  assert.deepEqual(r.choices[0].message.tool_calls.map((c) => c.function.name), ['get_weather', 'get_time']);
  return r.usage;
});

on('streamed tool calls are put together by the SDK', async ({ openai, model }) => {
  const runner = openai.chat.completions.stream({ model, messages: [{ role: 'user', content: 'call every tool' }], tools: [WEATHER, TIME], stream_options: { include_usage: true } });
  const r = await runner.finalChatCompletion();
  assert.equal(r.choices[0].finish_reason, 'tool_calls');
  assert.equal(r.choices[0].message.tool_calls.length, 2);
  weatherCall(r.choices[0].message.tool_calls[0]);
  JSON.parse(r.choices[0].message.tool_calls[1].function.arguments);
  return r.usage;
});

on('a tool result goes back and the loop ends with text', async ({ openai, model }) => {
  let called = 0;
  const tool = { type: 'function', function: { ...WEATHER.function, parse: JSON.parse, function: () => { called += 1; return '{"celsius": 21}'; } } };
  const runner = openai.chat.completions.runTools({ model, messages: [{ role: 'user', content: 'call the tool' }], tools: [tool] });
  const text = await runner.finalContent();
  assert.equal(called, 1);
  assert.ok(text.length > 0);
});

on('tools declared with zod are parsed', async ({ openai, model }) => {
  const tool = zodFunction({ name: 'get_weather', parameters: z.object({ city: z.string(), days: z.number().int() }) });
  const r = await openai.chat.completions.parse({ model, messages: [{ role: 'user', content: 'call the tool' }], tools: [tool] });
  assert.equal(typeof r.choices[0].message.tool_calls[0].function.parsed_arguments.city, 'string');
  return r.usage;
});

on('functions, the old way of tools', async ({ openai, model }) => {
  const r = await openai.chat.completions.create({ model, messages: say(5), functions: [WEATHER.function], function_call: { name: 'get_weather' } });
  assert.ok(['function_call', 'stop'].includes(r.choices[0].finish_reason), r.choices[0].finish_reason); // stop: what OpenAI says of a call that was forced
  assert.equal(typeof JSON.parse(r.choices[0].message.function_call.arguments).city, 'string');
  return r.usage;
});

on('a structured answer fits its schema and is parsed', async ({ openai, model }) => {
  const r = await openai.chat.completions.parse({ model, messages: say(5), response_format: zodResponseFormat(Recipe, 'recipe') });
  Recipe.parse(r.choices[0].message.parsed);
  return r.usage;
});

on('a structured answer that is streamed fits its schema', async ({ openai, model }) => {
  const r = await openai.chat.completions.stream({ model, messages: say(5), response_format: zodResponseFormat(Recipe, 'recipe'), stream_options: { include_usage: true } }).finalChatCompletion();
  Recipe.parse(r.choices[0].message.parsed);
  return r.usage;
});

on('json_object gives an object', async ({ openai, model }) => {
  const r = await openai.chat.completions.create({ model, messages: say(5), response_format: { type: 'json_object' } });
  assert.equal(typeof JSON.parse(r.choices[0].message.content), 'object');
  return r.usage;
});

on('text, image, audio and file parts are taken', async ({ openai, model }) => {
  const content = [{ type: 'text', text: 'say exactly 4 tokens' }, { type: 'image_url', image_url: { url: PIXEL, detail: 'low' } },
    { type: 'image_url', image_url: { url: 'https://example.com/cat.png' } }, { type: 'input_audio', input_audio: { data: 'UklGRg==', format: 'wav' } },
    { type: 'file', file: { filename: 'a.pdf', file_data: 'data:application/pdf;base64,JVBERi0=' } }];
  const r = await openai.chat.completions.create({ model, messages: [{ role: 'developer', content: 'Be brief' }, { role: 'user', content }] });
  assert.equal(r.usage.completion_tokens, 4);
  return r.usage;
});

on('n: 2 gives two choices', async ({ openai, model }) => {
  const r = await openai.chat.completions.create({ model, messages: say(6), n: 2 });
  assert.deepEqual(r.choices.map((c) => c.index), [0, 1]);
  assert.equal(r.usage.completion_tokens, 12);
  return r.usage;
});

on('n: 2 streamed keeps the choices apart', async ({ openai, model }) => {
  const chunks = await collect(await openai.chat.completions.create({ model, messages: say(6), n: 2, stream: true, stream_options: { include_usage: true } }));
  assert.ok(textOf(chunks, 0) && textOf(chunks, 1));
  assert.equal(chunks.flatMap((c) => c.choices).filter((c) => c.finish_reason).length, 2);
  return chunks.at(-1).usage;
});

on('log probabilities, whole and streamed', async ({ openai, model }) => {
  const r = await openai.chat.completions.create({ model, messages: say(4), logprobs: true, top_logprobs: 2 });
  assert.equal(r.choices[0].logprobs.content.length, 4);
  assert.ok(r.choices[0].logprobs.content.every((t) => t.logprob <= 0 && t.top_logprobs.length === 2));
  const chunks = await collect(await openai.chat.completions.create({ model, messages: say(4), logprobs: true, stream: true }));
  assert.equal(chunks.flatMap((c) => c.choices[0]?.logprobs?.content ?? []).map((t) => t.token).join(''), textOf(chunks));
});

on('a stop sequence stops', async ({ openai, model }) => {
  const r = await openai.chat.completions.create({ model, messages: say(60), stop: [' ', 'zzz'] });
  assert.equal(r.choices[0].finish_reason, 'stop');
  assert.ok(!r.choices[0].message.content.includes(' '));
  return r.usage;
});

on('max_completion_tokens cuts and says so', async ({ openai, model }) => {
  const r = await openai.chat.completions.create({ model, messages: say(60), max_completion_tokens: 5 });
  assert.equal(r.choices[0].finish_reason, 'length');
  assert.equal(r.usage.completion_tokens, 5);
  return r.usage;
});

on('reasoning tokens are told apart', async ({ openai, model }) => {
  const r = await openai.chat.completions.create({ model, messages: say(5), reasoning_effort: 'low' });
  assert.ok(r.usage.completion_tokens_details.reasoning_tokens > 0);
  assert.equal(r.usage.completion_tokens, 5 + r.usage.completion_tokens_details.reasoning_tokens);
  return (delta, records) => {
    sameUsage(r.usage, delta);
    for (const record of records) assert.equal(record.usage.reasoning, r.usage.completion_tokens_details.reasoning_tokens);
  };
});

on('parameters that change nothing pass', async ({ openai, model }) => {
  const r = await openai.chat.completions.create({ model, messages: say(3), temperature: 0.2, top_p: 0.9, presence_penalty: 0.1, frequency_penalty: -0.1, seed: 3,
    user: 'someone', metadata: { a: 'b' }, logit_bias: { 50256: -100 }, service_tier: 'auto', store: false, parallel_tool_calls: undefined });
  return r.usage;
});

on('characters of many languages survive both ways', async ({ openai, model }) => {
  const content = 'Grüße, 東京, مرحبا, 👩‍👩‍👧 "quoted" \\ \u2028 say exactly 3 tokens';
  const r = await openai.chat.completions.create({ model, messages: [{ role: 'user', content, name: 'Zoë' }] });
  return r.usage;
});

on('a completion with a suffix', async ({ openai, model }) => {
  const r = await openai.completions.create({ model, prompt: 'say exactly 6 tokens', suffix: 'the end', max_tokens: 50 });
  assert.equal(r.object, 'text_completion');
  assert.ok(r.choices[0].text.length > 0);
  assert.equal(r.usage.completion_tokens, 6);
  return r.usage;
});

on('a completion that is streamed', async ({ openai, model }) => {
  const chunks = await collect(await openai.completions.create({ model, prompt: 'say exactly 6 tokens', stream: true, stream_options: { include_usage: true } }));
  assert.ok(textOf(chunks).length > 0);
  assert.ok(chunks.every((c) => c.object === 'text_completion'));
  return chunks.at(-1).usage;
});

on('embeddings, base64 on the wire by default and floats when asked, are the same numbers', async ({ openai, embedding }) => {
  const a = await openai.embeddings.create({ model: embedding, input: 'hello' });
  const b = await openai.embeddings.create({ model: embedding, input: 'hello', encoding_format: 'float' });
  assert.equal(a.data[0].embedding.length, 1536);
  b.data[0].embedding.forEach((v, i) => assert.ok(Math.abs(v - a.data[0].embedding[i]) < 1e-6));
  const c = await openai.embeddings.create({ model: embedding, input: 'hello', encoding_format: 'base64' });
  assert.equal(typeof c.data[0].embedding, 'string');
});

on('embeddings of many inputs, with fewer dimensions', async ({ openai, embedding }) => {
  const r = await openai.embeddings.create({ model: embedding, input: ['one', 'two', 'three'], dimensions: 8 });
  assert.deepEqual(r.data.map((d) => [d.index, d.embedding.length]), [[0, 8], [1, 8], [2, 8]]);
  return (delta) => {
    assert.equal(r.usage.prompt_tokens, delta.input_tokens);
    assert.equal(r.usage.total_tokens, delta.input_tokens);
  };
});

on('a prompt of 300 KB', async ({ openai, model }) => {
  const r = await openai.chat.completions.create({ model, messages: [{ role: 'user', content: 'wide words '.repeat(27_300) + 'say exactly 5 tokens' }] });
  assert.ok(r.usage.prompt_tokens > 50_000);
  return r.usage;
});

on('fifty streams at once', async ({ openai, model }) => {
  const all = await Promise.all(Array.from({ length: 50 }, async (_, i) => {
    const chunks = await collect(await openai.chat.completions.create({ model, messages: say(10 + i), stream: true, stream_options: { include_usage: true } }));
    assert.equal(chunks.at(-1).usage.completion_tokens, 10 + i);
    return chunks.at(-1).usage;
  }));
  return (delta) => {
    assert.equal(delta.answered, 50);
    assert.equal(all.reduce((n, u) => n + u.completion_tokens, 0), delta.output_tokens);
    assert.equal(all.reduce((n, u) => n + u.prompt_tokens, 0), delta.input_tokens);
  };
});

for (const s of stands)
  for (const [name, body] of cases)
    test(`${s.name}: ${name}`, async () => {
      const { result, delta, records } = await audit(s, (openai) => body({ openai, model: s.model, embedding: s.embedding }));
      if (typeof result === 'function') result(delta, records);
      else if (result) sameUsage(result, delta);
      for (const r of records) {
        assert.equal(r.outcome, 'answered');
        assert.equal(r.usage.source, 'reported');
        assert.deepEqual([r.key, r.department], ['sdk', 'tests']);
      }
    });

for (const s of stands.filter((x) => x.gateway && !x.name.startsWith('Azure'))) { // AzureOpenAI lists no models
  test(`${s.name}: models are listed and can be looked up`, async () => {
    const list = await collect(await s.openai.models.list());
    assert.ok(list.some((m) => m.id === s.model) && list.every((m) => m.object === 'model'));
    assert.equal((await s.openai.models.retrieve(s.model)).id, s.model);
    await assert.rejects(s.openai.models.retrieve('nobody'), (e) => e.status === 404);
  });
}
