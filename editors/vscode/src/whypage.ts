// The text of the page "Why this suggestion?".

import type { Why } from './protocol';

export function pageOf(why: Why | null): string {
  if (!why) {
    return '# Why this suggestion?\n\nNothing was asked of this document yet: type something, or use *Complete Here*.\n';
  }
  const timings = Object.entries((why.record?.timings_ms as Record<string, number> | undefined) ?? {});
  const counts = Object.entries(why.record ?? {}).filter(([key]) => key !== 'timings_ms');
  return [
    '# Why this suggestion?',
    `- file: ${decodeURIComponent(why.uri)}${place(why)}`,
    ...(why.trigger ? [`- asked: ${why.trigger === 'automatic' ? 'while you typed' : 'by hand'}`] : []),
    `- decision: ${why.decision}`,
    ...section('Shown', why.shown),
    ...section("The model's answer", why.answer),
    ...section('The prompt', why.prompt),
    ...table('Timings, in ms', timings),
    ...table('Record', counts),
    '',
  ].join('\n');
}

function place({ position }: Why): string {
  return position ? `, line ${position.line + 1}, column ${position.character + 1}` : '';
}

function section(title: string, text: string | null): string[] {
  if (text === null) {
    return [];
  }
  // A fence that is longer than any in the text.
  const fence = '`'.repeat(Math.max(3, ...[...text.matchAll(/`+/g)].map(([run]) => run.length + 1)));
  return ['', `## ${title}`, '', fence, text, fence];
}

function table(title: string, rows: [string, unknown][]): string[] {
  if (rows.length === 0) {
    return [];
  }
  const cells = rows.map(
    ([name, value]) => `| ${name} | ${typeof value === 'string' ? value : JSON.stringify(value)} |`,
  );
  return ['', `## ${title}`, '', '| | |', '|---|---|', ...cells];
}
