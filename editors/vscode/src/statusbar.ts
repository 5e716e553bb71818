// The item in the status bar.

import { Disposable, MarkdownString, StatusBarAlignment, ThemeColor, window } from 'vscode';
import { lastAnswer, look, type View } from './status';

/** Answers that come sooner than this, in ms, do not flicker in the corner of the eye. */
const NOTICEABLE = 150;

export class StatusBar {
  private readonly item = window.createStatusBarItem('infill.status', StatusBarAlignment.Right, 100);
  private shown: string | undefined;
  private later: NodeJS.Timeout | undefined;

  constructor(private readonly view: () => View) {
    this.item.name = 'Infill';
    this.show();
    this.item.show();
  }

  /** Shows the present state; that the model thinks, only if it does so for a while. */
  update(): void {
    clearTimeout(this.later);
    const { phase, said } = this.view();
    if (phase.at === 'running' && said?.busy && said.infill.state === 'ready') {
      this.later = setTimeout(() => this.show(), NOTICEABLE);
    } else {
      this.show();
    }
  }

  private show(): void {
    const view = this.view();
    const { icon, more, words, severity } = look(view);
    const lines = [words, lastAnswer(view.said)].filter((line) => line !== undefined);
    const now = JSON.stringify([icon, more, severity, lines]);
    if (now === this.shown) {
      return;
    }
    this.shown = now;
    const { item } = this;
    item.text = `$(${icon}) Infill${more}`;
    item.accessibilityInformation = { label: `Infill: ${words}` };
    item.backgroundColor = severity === 'plain' ? undefined : new ThemeColor(`statusBarItem.${severity}Background`);
    // What failed is explained in the log, so that is one click away.
    item.command = severity === 'error' ? 'infill.openLog' : 'infill.showStatus';
    const links = '[Status](command:infill.showStatus) · [Log](command:infill.openLog)';
    const tooltip = new MarkdownString(`${links}`, true);
    tooltip.isTrusted = { enabledCommands: ['infill.showStatus', 'infill.openLog'] };
    tooltip.value = '';
    lines.forEach((line) => {
      tooltip.appendText(line).appendMarkdown('\n\n');
    });
    tooltip.appendMarkdown(links);
    item.tooltip = tooltip;
  }

  dispose(): void {
    clearTimeout(this.later);
    Disposable.from(this.item).dispose();
  }
}
