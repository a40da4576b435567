// A progress bar on a terminal; over a pipe, one line at the end.
export interface ProgressBar {
  /** @param done of `total`, in bytes */
  update(done: number): void;
  end(): void;
}

interface Output {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

const REDRAW_MS = 100;
const BAR_CELLS = 20;

export function createProgressBar(
  output: Output,
  { label, total, now }: { label: string; total: number; now: () => number },
): ProgressBar {
  const isTerminal = output.isTTY === true;
  const start = now();
  let first: number | undefined;
  let done = 0;
  let drawnAt = Number.NEGATIVE_INFINITY;
  const line = (): string => {
    const seconds = (now() - start) / 1000;
    const rate = seconds > 0 ? (done - (first ?? 0)) / seconds : 0;
    const share = total === 0 ? 1 : done / total;
    const cells = '#'.repeat(Math.round(share * BAR_CELLS)).padEnd(BAR_CELLS, '.');
    const left = rate > 0 ? `, ${Math.ceil((total - done) / rate)} s left` : '';
    const percent = `${Math.floor(share * 100)} % of ${bytesText(total)}`;
    return `${label} [${cells}] ${percent}, ${bytesText(rate)}/s${left}`;
  };
  return {
    update(bytes) {
      first ??= bytes;
      done = bytes;
      if (!isTerminal || now() - drawnAt < REDRAW_MS) return;
      drawnAt = now();
      output.write(`\r\u001b[K${line().slice(0, (output.columns ?? 80) - 1)}`);
    },
    end() {
      output.write(`${isTerminal ? '\r\u001b[K' : ''}${label} ${bytesText(total)}\n`);
    },
  };
}

/** `1.5 GB`, in powers of 1000. */
export function bytesText(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${value >= 100 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}
