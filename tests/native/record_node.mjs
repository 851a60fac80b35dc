// Records what LiveKit's own tracing for Node.js writes of scripted calls, and agents-js's own reports of them.
//
//     npm i @livekit/agents@1.9.0 @livekit/rtc-node zod      (in an empty directory)
//     node /path/to/tests/native/record_node.mjs [OUTPUT [SCENARIO ...] [--whole]]    (in that directory)
//
// It writes OUTPUT (node-VERSION.jsonl.gz): a line of OTLP JSON for each call, with two keys of its own, scenario and
// reports, which readers of OTLP ignore: of the reports what the tests compare, or with --whole all that agents-js
// writes. The models are stand-ins on the package's base classes; there is no server
// and no network. Times are real: a call takes some seconds.
import { createRequire } from 'node:module';
import { writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import process from 'node:process';

const require = createRequire(`${process.cwd()}/`);
const agents = require('@livekit/agents');
const { AudioFrame } = require('@livekit/rtc-node');
const { Job, Room } = require('@livekit/protocol');
const { z } = require('zod');
const { NodeTracerProvider } = require('@opentelemetry/sdk-trace-node');
const { JsonTraceSerializer } = require('@opentelemetry/otlp-transformer');
const { initializeLogger, JobContext, JobProcess, llm, runWithJobContextAsync, stt, telemetry, tts, voice } = agents;

const VERSION = agents.version;
const OUTPUT = process.argv[2] ?? `node-${VERSION}.jsonl.gz`;
const WHOLE = process.argv.includes('--whole');
const ONLY = process.argv.slice(3).filter((one) => one !== '--whole');
const RATE = 24000;
const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));
const frame = (seconds) => new AudioFrame(new Int16Array(RATE * seconds), RATE, 1, Math.round(RATE * seconds));

// --- the caller: speech is put into the streams of VAD and STT -------------------------------------------------
class Caller {
  vads = new Set();
  stts = new Set();

  vad(type, speech, silence) {
    const event = {
      type, samplesIndex: 0, timestamp: Date.now(), speechDuration: speech * 1000, silenceDuration: silence * 1000,
      frames: [], probability: 1, inferenceDuration: 0, speaking: silence === 0,
      rawAccumulatedSpeech: silence === 0 ? speech * 1000 : 0, rawAccumulatedSilence: silence * 1000,
    };
    for (const one of this.vads) one.send(event);
  }

  stt(type, text) {
    const alternatives = [{ language: 'en', text, startTime: 0, endTime: 0, confidence: 0.93 }];
    for (const one of this.stts) one.send({ type, requestId: 'stt', alternatives });
  }

  // speaks so many seconds; the final transcript comes 0.1 s later. Without words it is noise.
  async say(text, seconds = 0.8) {
    const { START_OF_SPEECH, INFERENCE_DONE, END_OF_SPEECH } = agents.VADEventType;
    this.vad(START_OF_SPEECH, 0, 0);
    for (let at = 0; at < seconds - 0.01; at += 0.1) {
      await sleep(0.1);
      this.vad(INFERENCE_DONE, at + 0.1, 0);
      if (text && at > seconds / 2 - 0.06 && at <= seconds / 2 + 0.04) {
        this.stt(stt.SpeechEventType.INTERIM_TRANSCRIPT, text.split(' ').slice(0, 2).join(' '));
      }
    }
    this.vad(END_OF_SPEECH, seconds, 0.001);
    await sleep(0.1);
    if (text) this.stt(stt.SpeechEventType.FINAL_TRANSCRIPT, text);
  }
}

class StandInVAD extends agents.VAD {
  label = 'stand-in.VAD';
  constructor(caller) {
    super({ updateInterval: 50 });
    this.caller = caller;
  }
  stream() {
    return new StandInVADStream(this);
  }
}

class StandInVADStream extends agents.VADStream {
  constructor(vad) {
    super(vad);
    this.caller = vad.caller;
    this.caller.vads.add(this);
  }
  send(event) {
    if (!this.closed) this.outputWriter.write(event).catch(() => {});
  }
  close() {
    this.caller.vads.delete(this);
    super.close();
  }
}

class StandInSTT extends stt.STT {
  label = 'stand-in.STT';
  constructor(caller) {
    super({ streaming: true, interimResults: true });
    this.caller = caller;
  }
  get model() {
    return 'stand-in-stt';
  }
  get provider() {
    return 'kit';
  }
  async _recognize() {
    throw new Error('streams only');
  }
  stream() {
    return new StandInSpeechStream(this);
  }
}

class StandInSpeechStream extends stt.SpeechStream {
  label = 'stand-in.STT';
  constructor(own) {
    super(own);
    this.caller = own.caller;
    this.caller.stts.add(this);
  }
  send(event) {
    if (!this.queue.closed) this.queue.put(event);
  }
  async run() {
    for await (const _ of this.input);
  }
  close() {
    this.caller.stts.delete(this);
    super.close();
  }
}

// --- models ---------------------------------------------------------------------------------------------------
// reply(items, attempt) -> {text, calls, ttft, usage} or throws
class StandInLLM extends llm.LLM {
  attempts = 0;
  constructor(reply) {
    super();
    this.reply = reply;
  }
  label() {
    return 'stand-in.LLM';
  }
  get model() {
    return 'stand-in-llm';
  }
  get provider() {
    return 'kit';
  }
  chat({ chatCtx, toolCtx, connOptions = { maxRetry: 2, retryIntervalMs: 100, timeoutMs: 10_000 } }) {
    return new StandInLLMStream(this, { chatCtx, toolCtx, connOptions: { ...connOptions, retryIntervalMs: 100 } });
  }
}

class StandInLLMStream extends llm.LLMStream {
  constructor(own, options) {
    super(own, options);
    this.own = own;
  }
  async run() {
    const items = this.chatCtx.items;
    const found = this.own.reply(items, this.own.attempts++);
    await sleep(found.ttft ?? 0.2);
    if (this.abortController.signal.aborted) return;
    for (const word of (found.text ?? '').split(/(?<= )/).filter(Boolean)) {
      this.queue.put({ id: 'request', delta: { role: 'assistant', content: word } });
      await sleep(0.01);
      if (this.abortController.signal.aborted) return;
    }
    const calls = (found.calls ?? []).map(([name, args], at) =>
      llm.FunctionCall.create({ callId: `call_${this.own.attempts}_${at}`, name, args: JSON.stringify(args) }),
    );
    if (calls.length) this.queue.put({ id: 'request', delta: { role: 'assistant', toolCalls: calls } });
    const usage = { completionTokens: 7, promptTokens: 20, promptCachedTokens: 4, totalTokens: 27 };
    this.queue.put({ id: 'request', usage });
  }
}

class StandInTTS extends tts.TTS {
  label = 'stand-in.TTS';
  constructor() {
    super(RATE, 1, { streaming: false });
  }
  get model() {
    return 'stand-in-tts';
  }
  get provider() {
    return 'kit';
  }
  synthesize(text, connOptions, abortSignal) {
    return new StandInChunkedStream(text, this, connOptions, abortSignal);
  }
  stream() {
    throw new Error('no streams');
  }
}

class StandInChunkedStream extends tts.ChunkedStream {
  label = 'stand-in.TTS';
  async run() {
    await sleep(0.1);
    // 0.04 s for each character
    const parts = Math.max(1, Math.round(this.inputText.length * 0.4));
    for (let at = 1; at <= parts; at++) {
      if (this.abortSignal?.aborted) break;
      this.queue.put({ requestId: 'tts', segmentId: 'one', frame: frame(0.1), final: at === parts });
    }
    this.queue.close();
  }
}

// --- a loudspeaker that plays in real time ----------------------------------------------------------------------
class Loudspeaker extends voice.AudioOutput {
  pushed = 0;
  constructor() {
    super(RATE, undefined, { pause: true });
  }
  async captureFrame(one) {
    await super.captureFrame(one);
    if (!this.pushed) {
      this.since = Date.now();
      this.played = 0;
      this.onPlaybackStarted(this.since);
    }
    this.pushed += one.samplesPerChannel / one.sampleRate;
  }
  position() {
    return Math.min(this.pushed, this.played + (this.paused ? 0 : (Date.now() - this.since) / 1000));
  }
  flush() {
    super.flush();
    if (!this.pushed) return;
    this.flushed = true;
    this.wait();
  }
  wait() {
    clearTimeout(this.timer);
    if (this.paused || !this.flushed) return;
    this.timer = setTimeout(() => this.finish(false), (this.pushed - this.position()) * 1000);
  }
  finish(interrupted) {
    const playbackPosition = this.position();
    clearTimeout(this.timer);
    this.pushed = 0;
    this.flushed = this.paused = false;
    this.onPlaybackFinished({ playbackPosition, interrupted });
  }
  clearBuffer() {
    if (this.pushed) this.finish(true);
  }
  pause() {
    super.pause();
    if (!this.pushed || this.paused) return;
    this.played = this.position();
    this.paused = true;
    this.wait();
  }
  resume() {
    super.resume();
    if (!this.paused) return;
    this.paused = false;
    this.since = Date.now();
    this.wait();
  }
}

class Microphone extends voice.AudioInput {}

// --- one call -------------------------------------------------------------------------------------------------
class Call {
  caller = new Caller();
  reports = [];

  constructor(ctx) {
    this.ctx = ctx;
  }

  session(reply, options = {}) {
    const { preemptive = false, ...more } = options;
    const session = new voice.AgentSession({
      vad: new StandInVAD(this.caller),
      stt: new StandInSTT(this.caller),
      llm: new StandInLLM(reply ?? plain),
      tts: new StandInTTS(),
      turnHandling: {
        turnDetection: 'vad',
        endpointing: { minDelay: 300, maxDelay: 1000 },
        preemptiveGeneration: { enabled: preemptive },
      },
      aecWarmupDuration: 0,
      userAwayTimeout: null,
      ...more,
    });
    session.on('close', () => {});
    session.on('error', () => {});
    session.input.audio = new Microphone();
    session.output.audio = new Loudspeaker();
    this.current = session;
    return session;
  }

  async start(session, agent) {
    await session.start({ agent: agent ?? new voice.Agent({ instructions: INSTRUCTIONS }), record: { audio: false } });
  }

  async end(session) {
    await session.close();
    this.report(session);
  }

  report(session) {
    this.reports.push(voice.sessionReportToJSON(this.ctx.makeSessionReport(session)));
  }
}

const INSTRUCTIONS = 'You are a flower shop.';
const LONG = 'This is a long answer that goes on and on and on until somebody stops it at last.';
const lastText = (items) => items.at(-1).textContent ?? '';
const plain = (items) => ({ text: `You said ${lastText(items).length} letters.` });
const withTool = (name, args, before = '') => (items) =>
  items.at(-1).type === 'function_call_output' ? { text: 'Here you are.' } : { text: before, calls: [[name, args]] };

const scenarios = {
  async greeting(call) {
    class Greeter extends voice.Agent {
      async onEnter() {
        this.session.say('Hello, this is the flower shop.');
      }
    }
    const session = call.session();
    await call.start(session, new Greeter({ instructions: INSTRUCTIONS }));
    await sleep(2);
    await call.caller.say('what do you sell');
    await sleep(2.5);
    await call.end(session);
  },
  async greeting_by_generate_reply(call) {
    class Greeter extends voice.Agent {
      async onEnter() {
        this.session.generateReply({ instructions: 'Greet the caller.' });
      }
    }
    const session = call.session(() => ({ text: 'Good day.' }));
    await call.start(session, new Greeter({ instructions: INSTRUCTIONS }));
    await sleep(1.5);
    await call.end(session);
  },
  async question_and_answer(call) {
    const session = call.session();
    await call.start(session);
    await sleep(0.3);
    await call.caller.say('what is a tulip');
    await sleep(2.5);
    await call.caller.say('and a rose');
    await sleep(2.5);
    await call.end(session);
  },
  async typed_question(call) {
    const session = call.session();
    await call.start(session);
    await session.generateReply({ userInput: 'in writing' }).waitForPlayout();
    await call.end(session);
  },
  async tool_with_preamble(call) {
    const order = llm.tool({
      name: 'order', description: 'Orders flowers.', parameters: z.object({ flower: z.string() }),
      execute: async ({ flower }) => {
        await sleep(0.3);
        return `ordered one ${flower}`;
      },
    });
    const session = call.session(withTool('order', { flower: 'tulip' }, 'One moment. '));
    await call.start(session, agentWith({ order }));
    await sleep(0.3);
    await call.caller.say('a tulip please');
    await sleep(4);
    await call.end(session);
  },
  async tool_that_raises(call) {
    const order = llm.tool({
      name: 'order', description: 'Orders flowers.', parameters: z.object({}),
      execute: async () => {
        throw new Error('out of stock');
      },
    });
    const session = call.session(withTool('order', {}));
    await call.start(session, agentWith({ order }));
    await sleep(0.3);
    await call.caller.say('a tulip please');
    await sleep(3);
    await call.end(session);
  },
  async request_that_is_retried(call) {
    const session = call.session((items, attempt) => {
      if (attempt === 0) throw new agents.APIConnectionError({ message: 'the line is down' });
      return plain(items);
    });
    await call.start(session);
    await sleep(0.3);
    await call.caller.say('are you there');
    await sleep(3.5);
    await call.end(session);
  },
  async request_that_fails(call) {
    const session = call.session(() => {
      throw new agents.APIStatusError({ message: 'forbidden', options: { statusCode: 403, retryable: false } });
    });
    await call.start(session);
    await sleep(0.3);
    await call.caller.say('are you there');
    await sleep(2.5);
    await call.end(session);
  },
  async closed_by_an_error(call) {
    const session = call.session(() => {
      throw new agents.APIConnectionError({ message: 'the line is down' });
    });
    const closed = new Promise((resolve) => session.on('close', resolve));
    await call.start(session);
    for (let turn = 0; turn < 4; turn++) {
      await sleep(0.3);
      await call.caller.say(`are you there ${turn}`);
      await Promise.race([closed, sleep(2.5)]);
    }
    await Promise.race([closed, sleep(1)]);
    await call.end(session);
  },
  async handoff(call) {
    const second = new voice.Agent({ instructions: 'You know all about roses.' });
    const transfer = llm.tool({
      name: 'transfer', description: 'Transfers the call.', parameters: z.object({}),
      execute: async () => llm.handoff({ agent: second, returns: 'transferred' }),
    });
    const session = call.session(withTool('transfer', {}));
    await call.start(session, agentWith({ transfer }));
    await sleep(0.3);
    await call.caller.say('roses please');
    await sleep(2.5);
    await call.caller.say('are you the one for roses');
    await sleep(2.5);
    await call.end(session);
  },
  async barge_in(call) {
    const session = call.session(() => ({ text: LONG }));
    await call.start(session);
    await sleep(0.3);
    await call.caller.say('a long story');
    await sleep(2);
    await call.caller.say('stop it now');
    await sleep(5);
    await call.end(session);
  },
  async barge_in_without_words(call) {
    const session = call.session(() => ({ text: LONG }));
    await call.start(session);
    await sleep(0.3);
    await call.caller.say('a long story');
    await sleep(2);
    await call.caller.say('', 0.7);
    await sleep(6);
    await call.end(session);
  },
  async preemptive_generation(call) {
    const session = call.session(undefined, { preemptive: true });
    await call.start(session);
    await sleep(0.3);
    await call.caller.say('what is a tulip');
    await sleep(2.5);
    await call.end(session);
  },
  async end_of_turn_model(call) {
    const turnDetection = {
      model: 'stand-in-detector', provider: 'kit',
      supportsLanguage: async () => true,
      unlikelyThreshold: async () => 0.5,
      predictEndOfTurn: async () => 0.9,
    };
    const session = call.session(undefined, {
      turnHandling: {
        turnDetection, endpointing: { minDelay: 300, maxDelay: 1000 }, preemptiveGeneration: { enabled: false },
      },
    });
    await call.start(session);
    await sleep(0.3);
    await call.caller.say('what is a tulip');
    await sleep(2.5);
    await call.end(session);
  },
  async closed_while_speaking(call) {
    const session = call.session(() => ({ text: LONG }));
    await call.start(session);
    await sleep(0.3);
    await call.caller.say('a long story');
    await sleep(1.5);
    await call.end(session);
  },
};

// --- realtime -------------------------------------------------------------------------------------------------
class StandInRealtime extends llm.RealtimeModel {
  constructor() {
    super({
      messageTruncation: false, turnDetection: true, userTranscription: true, autoToolReplyGeneration: true,
      audioOutput: true, manualFunctionCalls: false,
    });
  }
  get model() {
    return 'stand-in-realtime';
  }
  get provider() {
    return 'kit';
  }
  session() {
    return (this.own = new StandInRealtimeSession(this));
  }
  async close() {}
}

class StandInRealtimeSession extends llm.RealtimeSession {
  #chatCtx = llm.ChatContext.empty();
  get chatCtx() {
    return this.#chatCtx;
  }
  get tools() {
    return llm.ToolContext?.empty ? llm.ToolContext.empty() : {};
  }
  async updateInstructions() {}
  async updateChatCtx(chatCtx) {
    this.#chatCtx = chatCtx;
  }
  async updateTools() {}
  updateOptions() {}
  pushAudio() {}
  async commitAudio() {}
  async clearAudio() {}
  async interrupt() {}
  async truncate() {}

  generation(text, number, userInitiated) {
    const stream = (values) => new ReadableStream({
      start: (control) => {
        values.forEach((one) => control.enqueue(one));
        control.close();
      },
    });
    const audio = stream(Array.from({ length: 10 }, () => frame(0.1)));
    const message = {
      messageId: `message_${number}`, textStream: stream([text]), audioStream: audio,
      modalities: Promise.resolve(['text', 'audio']),
    };
    const tokens = { audioTokens: 8, textTokens: 2, imageTokens: 0, cachedTokens: 0 };
    setTimeout(() => this.emit('metrics_collected', {
      type: 'realtime_model_metrics', label: 'stand-in.Realtime', requestId: `response_${number}`,
      timestamp: Date.now(), durationMs: 400, ttftMs: 120, cancelled: false, inputTokens: 10, outputTokens: 6,
      totalTokens: 16, tokensPerSecond: 15, inputTokenDetails: tokens,
      outputTokenDetails: { textTokens: 1, audioTokens: 5, imageTokens: 0 },
      metadata: { modelName: 'stand-in-realtime', modelProvider: 'kit' },
    }), 200);
    return {
      messageStream: stream([message]), functionStream: stream([]), userInitiated, responseId: `response_${number}`,
    };
  }
  async generateReply() {
    return this.generation('You asked for it.', 9, true);
  }
  // what the server hears and answers by itself
  async exchange(words, answer, number) {
    this.emit('input_speech_started', {});
    await sleep(0.8);
    this.emit('input_speech_stopped', { userTranscriptionEnabled: true });
    this.emit('input_audio_transcription_completed', { itemId: `item_${number}`, transcript: words, isFinal: true });
    await sleep(0.2);
    this.emit('generation_created', this.generation(answer, number, false));
    await sleep(2);
  }
}

scenarios.realtime = async (call) => {
  const model = new StandInRealtime();
  const session = call.session(undefined, { llm: model, stt: undefined, tts: undefined, vad: undefined,
    turnHandling: { turnDetection: 'realtime_llm' } });
  await call.start(session);
  await sleep(0.3);
  await model.own.exchange('what is a tulip', 'A tulip is a flower.', 1);
  await model.own.exchange('and a rose', 'So is a rose.', 2);
  await call.end(session);
};

function agentWith(tools) {
  try {
    return new voice.Agent({ instructions: INSTRUCTIONS, tools });
  } catch {
    // later releases take a list
    return new voice.Agent({ instructions: INSTRUCTIONS, tools: Object.values(tools) });
  }
}

// --- recording ------------------------------------------------------------------------------------------------
class Kept {
  spans = [];
  onStart() {}
  onEnd(span) {
    this.spans.push(span);
  }
  async forceFlush() {}
  async shutdown() {}
}

// without where the stand-ins lie on this machine
function withoutTraces(request) {
  for (const resource of request.resourceSpans) {
    for (const scope of resource.scopeSpans) {
      for (const span of scope.spans) {
        span.attributes = span.attributes.filter((one) => one.key !== 'exception.stacktrace');
        span.events = [];
      }
    }
  }
  return request;
}

// what the tests compare
function slim(report) {
  return { usage: report.usage, items: report.chat_history.items };
}

async function main() {
  initializeLogger({ pretty: false, level: 'silent' });
  process.on('unhandledRejection', (error) => console.error('unhandled:', error?.message));
  const kept = new Kept();
  const fanout = new (telemetry.FanoutSpanProcessor ?? Kept)();
  const processors = telemetry.FanoutSpanProcessor ? [kept, fanout] : [kept];
  const provider = new NodeTracerProvider({ spanProcessors: processors });
  if (!telemetry.FanoutSpanProcessor && provider.addSpanProcessor) provider.addSpanProcessor(kept);
  provider.register();
  telemetry.setTracerProvider(provider, { registerSpanProcessor: (one) => fanout.add?.(one) });
  const lines = [];
  for (const [name, script] of Object.entries(scenarios)) {
    if (ONLY.length && !ONLY.includes(name)) continue;
    kept.spans = [];
    const job = new Job({ id: `AJ_${name}`, room: new Room({ name: `room of ${name}`, sid: `RM_${name}` }) });
    const info = { acceptArguments: { name: '', identity: 'agent', metadata: '' }, job, url: '', token: '',
      workerId: 'worker', fakeJob: true };
    const room = Object.assign(Object.create(require('node:events').EventEmitter.prototype), {
      name: `room of ${name}`, isConnected: false, remoteParticipants: new Map(), getSid: async () => `RM_${name}`,
    });
    require('node:events').call(room);
    const ctx = new JobContext(new JobProcess(), info, room, () => {}, () => {}, undefined);
    const call = new Call(ctx);
    try {
      await runWithJobContextAsync(ctx, () => script(call));
    } catch (error) {
      console.log(`${name}: ${error.stack}`);
      await call.current?.close().catch(() => {});
      continue;
    }
    await sleep(0.3);
    const request = JSON.parse(new TextDecoder().decode(JsonTraceSerializer.serializeRequest(kept.spans)));
    lines.push(JSON.stringify({ scenario: name, reports: WHOLE ? call.reports : call.reports.map(slim), ...withoutTraces(request) }));
    console.log(`${name}: ${kept.spans.length} spans, ${call.reports.length} reports`);
  }
  writeFileSync(OUTPUT, gzipSync(`${lines.join('\n')}\n`, { level: 9 }));
  console.log(`${lines.length} calls of @livekit/agents ${VERSION}: ${OUTPUT}`);
  process.exit(0);
}

main();
