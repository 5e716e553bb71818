// The server's life: started, restarted after a crash with a growing pause, stopped; and what of that the user is told.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { EventEmitter, type ExtensionContext, type LogOutputChannel, workspace } from 'vscode';
import type { LanguageClient } from 'vscode-languageclient/node';
import { findBinary } from './binary';
import { newClient, type Silence } from './client';
import { Pauses } from './pauses';
import { complain, warn, wordsOf } from './say';

/** Where the server is in its life. */
export type Phase =
  | { at: 'stopped' }
  | { at: 'starting' }
  | { at: 'running'; version: string }
  | { at: 'pausing'; seconds: number }
  | { at: 'failed'; why: string };

/** How long a server may take to say goodbye before it is killed, in ms. */
const GOODBYE = 1_000;

/** One server process and the conversation with it. */
interface Life {
  client: LanguageClient;
  process?: ChildProcess;
  since: number;
  /** Its end was asked for, and is no crash. */
  isUnwanted: boolean;
}

export class Server {
  private readonly changed = new EventEmitter<Phase>();
  private readonly began = new EventEmitter<LanguageClient>();
  private readonly pauses = new Pauses();
  private life: Life | undefined;
  private pause: NodeJS.Timeout | undefined;
  private isCrashTold = false;
  /** Starts and stops happen one after the other. */
  private queue: Promise<void> = Promise.resolve();

  phase: Phase = { at: 'stopped' };

  /** Fires at each change of `phase`. */
  readonly onPhase = this.changed.event;

  /** Fires with each new client before it is started, for those who listen to what it says. */
  readonly onClient = this.began.event;

  constructor(
    private readonly context: ExtensionContext,
    private readonly log: LogOutputChannel,
    private readonly silence: Silence,
  ) {}

  /** The client to talk to, if the server runs. */
  get client(): LanguageClient | undefined {
    return this.life?.client.isRunning() ? this.life.client : undefined;
  }

  /** Starts it if it does not run. It is the user's wish, so crashes so far are forgotten. */
  start(): Promise<void> {
    this.pauses.reset();
    return this.inTurn(() => this.begin());
  }

  stop(): Promise<void> {
    this.interruptStart();
    return this.inTurn(() => this.end());
  }

  restart(): Promise<void> {
    void this.stop();
    return this.start();
  }

  private inTurn(step: () => Promise<void>): Promise<void> {
    this.queue = this.queue.then(step);
    return this.queue;
  }

  /** A server that hangs while it starts would hold up its own end. */
  private interruptStart(): void {
    if (this.life && !this.life.client.isRunning()) {
      this.kill(this.life);
    }
  }

  private async begin(): Promise<void> {
    clearTimeout(this.pause);
    if (this.life) {
      return;
    }
    this.enter({ at: 'starting' });
    try {
      const binary = await findBinary(this.context);
      this.log.info(`Starting ${binary.path}, version ${binary.version}`);
      await this.live(binary.path, binary.version);
    } catch (error) {
      this.fail(wordsOf(error));
    }
  }

  private async live(path: string, version: string): Promise<void> {
    const level = workspace.getConfiguration('infill').get('server.log', 'warn');
    const spawnServer = async () => {
      const child = spawn(path, ['--log', level, 'lsp']);
      await once(child, 'spawn');
      life.process = child;
      child.once('exit', (code, signal) => this.ended(life, signal ?? `status ${code}`));
      return child;
    };
    const life: Life = {
      client: newClient(spawnServer, this.log, this.silence),
      since: Date.now(),
      isUnwanted: false,
    };
    this.life = life;
    this.began.fire(life.client);
    try {
      await life.client.start();
      this.enter({ at: 'running', version });
    } catch (error) {
      if (!life.process) {
        this.life = undefined;
        throw new Error(`${path} cannot be started: ${wordsOf(error)}`);
      }
      // It did not get through its greeting and is of no use; its end starts the next one.
      life.process.kill('SIGKILL');
    }
  }

  private async end(): Promise<void> {
    clearTimeout(this.pause);
    const life = this.life;
    if (life) {
      life.isUnwanted = true;
      await life.client.stop(GOODBYE).catch((error) => this.log.warn(wordsOf(error)));
      this.kill(life);
      this.life = undefined;
    }
    this.enter({ at: 'stopped' });
  }

  private kill(life: Life): void {
    life.isUnwanted = true;
    life.process?.kill('SIGKILL');
  }

  /** A server process has ended. */
  private ended(life: Life, how: string): void {
    if (life.isUnwanted || life !== this.life) {
      return;
    }
    this.life = undefined;
    const seconds = this.pauses.next((Date.now() - life.since) / 1000);
    if (seconds === null) {
      this.fail(`Infill's server keeps crashing, the last time with ${how}.`);
      return;
    }
    this.log.error(`The server ended with ${how}; it is started again in ${seconds} s`);
    this.enter({ at: 'pausing', seconds });
    this.pause = setTimeout(() => this.inTurn(() => this.begin()), seconds * 1000);
    if (!this.isCrashTold) {
      this.isCrashTold = true;
      warn("Infill's server crashed and is started again.", 'Open the Log');
    }
  }

  private fail(why: string): void {
    this.log.error(why);
    this.enter({ at: 'failed', why });
    complain(why, 'Restart', 'Open the Log', 'Settings');
  }

  private enter(phase: Phase): void {
    this.phase = phase;
    this.changed.fire(phase);
  }
}
