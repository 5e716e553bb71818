// The settings as the server wants them.

import { type ConfigurationTarget, workspace } from 'vscode';

/** Those that the server takes; all are sent each time, so that one that is unset falls back to its default. */
const KEYS = [
  'enabled',
  'languages',
  'exclude',
  'automatic',
  'delay',
  'singleLine',
  'neighbours',
  'model',
  'quant',
  'device',
  'threads',
  'window',
  'memory',
  'vram',
  'kv',
  'idle',
] as const;

/** What `initializationOptions.infill` and `workspace/didChangeConfiguration` say. */
export function forServer(): Record<string, unknown> {
  const settings = workspace.getConfiguration('infill');
  return Object.fromEntries(KEYS.map((key) => [key, settings.get(key) ?? null]));
}

export function isEnabled(): boolean {
  return workspace.getConfiguration('infill').get('enabled', true);
}

/** Is Infill on for a language, as far as the settings say? */
export function isLanguageOn(language: string): boolean {
  const languages = workspace.getConfiguration('infill').get<Record<string, boolean>>('languages', {});
  return languages[language] ?? languages['*'] ?? true;
}

/** Writes a setting where it is in force now: in the workspace if that has it, else for the user. */
export async function write(key: string, value: unknown): Promise<void> {
  const settings = workspace.getConfiguration('infill');
  await settings.update(key, value, target(key));
}

/** Turns Infill on or off for a language, beside what is said of others. */
export async function writeLanguage(language: string, on: boolean): Promise<void> {
  const found = workspace.getConfiguration('infill').inspect<Record<string, boolean>>('languages');
  const here = found?.workspaceValue ?? found?.globalValue ?? {};
  await write('languages', { ...here, [language]: on });
}

function target(key: string): ConfigurationTarget | boolean {
  const found = workspace.getConfiguration('infill').inspect(key);
  return found?.workspaceValue === undefined;
}
