// SPDX-License-Identifier: Apache-2.0
// The AI SDK, which many agents are built on, with its client for compatible providers. It parses every event as JSON and validates shapes
// more strictly than the official SDK.
import { strict as assert } from 'node:assert';
import test, { after } from 'node:test';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { embedMany, generateText, Output, stepCountIs, streamText, tool } from 'ai';
import { z } from 'zod';
import { audit, KEY, stand, startGateway, startSim } from './stand.mjs';

globalThis.AI_SDK_LOG_WARNINGS = false;
const sim = await startSim();
const broken = await startSim({ faults: ['error-event:600@every:1'] });
const gateway = await startGateway({
  providers: { one: { sim }, broken: { sim: broken } },
  models: '  gpt-4o: [{provider: one, model: gpt-4o}]\n  text-embedding-3-small: [{provider: one, model: text-embedding-3-small}]\n  breaks: [{provider: broken, model: gpt-4o}]\n',
});
after(async () => { for (const s of [gateway, sim, broken]) await s.stop(); });

for (const s of [stand({ name: 'sim', sim, base: '/v1' }), stand({ name: 'gateway', sim, gateway, base: '/v1' })]) {
  const noting = s.openai.fetch; // the stand's own, which notes every answer
  const ai = createOpenAICompatible({ name: 'entente', baseURL: `${s.url}/v1`, apiKey: KEY, includeUsage: true, supportsStructuredOutputs: true, fetch: noting });
  const model = ai('gpt-4o');
  const seen = (usage, delta) => assert.deepEqual([usage.inputTokens, usage.outputTokens], [delta.input_tokens, delta.output_tokens]);

  test(`AI SDK to ${s.name}: generateText`, async () => {
    const { result, delta } = await audit(s, () => generateText({ model, prompt: 'say exactly 7 tokens' }));
    assert.ok(result.text.length > 7);
    assert.equal(result.finishReason, 'stop');
    seen(result.usage, delta);
  });

  test(`AI SDK to ${s.name}: streamText with usage`, async () => {
    const { result, delta } = await audit(s, async () => {
      const stream = streamText({ model, prompt: 'say exactly 30 tokens' });
      let text = '';
      for await (const piece of stream.textStream) text += piece;
      return { text, usage: await stream.usage, reason: await stream.finishReason };
    });
    assert.ok(result.text.length > 30);
    assert.equal(result.reason, 'stop');
    seen(result.usage, delta);
  });

  test(`AI SDK to ${s.name}: tools are run and their results go back`, async () => {
    let called = 0;
    const weather = tool({ description: 'The weather', inputSchema: z.object({ city: z.string() }), execute: async () => { called += 1; return { celsius: 21 }; } });
    const { result, delta } = await audit(s, () => generateText({ model, prompt: 'call the tool', tools: { weather }, stopWhen: stepCountIs(3) }));
    assert.equal(called, 1);
    assert.equal(result.steps.length, 2);
    seen(result.totalUsage ?? result.usage, delta);
  });

  test(`AI SDK to ${s.name}: streamed tool calls`, async () => {
    const weather = tool({ description: 'The weather', inputSchema: z.object({ city: z.string() }), execute: async () => 'fine' });
    const { result } = await audit(s, async () => {
      const stream = streamText({ model, prompt: 'call the tool', tools: { weather } });
      return stream.toolCalls;
    });
    assert.equal(result[0].toolName, 'weather');
    assert.equal(typeof result[0].input.city, 'string');
  });

  test(`AI SDK to ${s.name}: structured output`, async () => {
    const schema = z.object({ title: z.string(), tags: z.array(z.string()) });
    const { result } = await audit(s, () => generateText({ model, prompt: 'a book', output: Output.object({ schema }) }));
    schema.parse(result.output);
  });

  test(`AI SDK to ${s.name}: embedMany`, async () => {
    const { result, delta } = await audit(s, () => embedMany({ model: ai.embeddingModel('text-embedding-3-small'), values: ['one', 'two'] }));
    assert.deepEqual(result.embeddings.map((e) => e.length), [1536, 1536]);
    assert.equal(result.usage.tokens, delta.input_tokens);
  });
}

test('AI SDK to gateway: a stream that breaks is an error, not an end', async () => {
  const s = stand({ name: 'breaks', sim: broken, gateway, base: '/v1' });
  const ai = createOpenAICompatible({ name: 'entente', baseURL: `${s.url}/v1`, apiKey: KEY, fetch: s.openai.fetch });
  const { result, records } = await audit(s, async () => {
    const errors = [];
    const stream = streamText({ model: ai('breaks'), prompt: 'say exactly 50 tokens', maxRetries: 0, onError: ({ error }) => errors.push(error) });
    let reason;
    for await (const part of stream.fullStream) if (part.type === 'finish') reason = part.finishReason;
    return { errors, reason };
  }, { exact: false });
  assert.ok(result.errors.length >= 1 && result.reason !== 'stop');
  assert.equal(records[0].outcome, 'broken');
});
