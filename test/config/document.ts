// The documentation of the configuration, made from the schema: docs/configuration.md.
import { z } from 'zod';
import { GONE_KEYS } from '../../src/config/gone-key.ts';
import { CONFIG_SECTIONS, type ConfigKey, type ConfigSection } from '../../src/config/key.ts';
import { SAMPLING, SAMPLING_NAMES } from '../../src/protocol/sampling.ts';

const HEAD = `# Configuration

Written from the schema by \`npx vitest run test/config -u\`; do not change it by hand.

A value comes from the first of these that gives it: \`--set section.key=value\`, the
options of a command, the environment, the file (\`--config FILE\`, else \`ATTUNE_CONFIG\`,
else \`config/attune.yaml\`), the default below.

Every value has an environment variable made of its place: \`night.idleMinutes\` is
\`ATTUNE_NIGHT_IDLE_MINUTES\`. Short names: \`ATTUNE_STORE\`, \`ATTUNE_MODEL\`, \`ATTUNE_HOST\`,
\`ATTUNE_PORT\`, \`ATTUNE_TOKEN\`, \`ATTUNE_DEVICE\`, \`ATTUNE_THREADS\`, \`ATTUNE_LOG_LEVEL\`.

An unknown key is refused by name. \`attune config\` prints what is active and where each
value came from.
`;

interface Facts {
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly default?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
  readonly maxItems?: number;
  readonly items?: Facts;
}

/** The whole page. */
export function configDocument(): string {
  const gone = Object.entries(GONE_KEYS).map(([key, { only, instead }]) => {
    const written = only === undefined ? key : `${key}: ${only}`;
    return `| \`${written}\` | ${instead} |\n`;
  });
  return [
    HEAD,
    ...CONFIG_SECTIONS.map(sectionText),
    '## Keys of earlier versions\n\nThey are read with a warning.\n',
    `| key | instead |\n|---|---|\n${gone.join('')}`,
  ].join('\n');
}

function sectionText({ key, description, keys }: ConfigSection): string {
  const rows = keys.map((one) => {
    const facts = z.toJSONSchema(one.schema) as Facts;
    const cells = [`\`${one.key}\``, defaultText(one, facts), valuesText(facts), one.description];
    return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |\n`;
  });
  const head = '| key | default | values | meaning |\n|---|---|---|---|\n';
  return `## ${key}\n\n${description}\n\n${head}${rows.join('')}`;
}

function defaultText({ key }: ConfigKey, facts: Facts): string {
  if (facts.default !== undefined) return `\`${JSON.stringify(facts.default)}\``;
  const name = SAMPLING_NAMES.find((one) => key === `chat.sampling.${one}`);
  return name === undefined ? 'none' : `the model's, else \`${SAMPLING[name].builtIn}\``;
}

function valuesText(facts: Facts): string {
  if (facts.enum !== undefined) return facts.enum.map((value) => `\`${value}\``).join(', ');
  if (facts.type === 'array') {
    const most = facts.maxItems === undefined ? '' : `, at most ${facts.maxItems}`;
    return `list of ${valuesText(facts.items ?? {})}${most}`;
  }
  if (facts.type === 'boolean') return '`true`, `false`';
  if (facts.type === 'string') return 'text';
  if (facts.type === 'object') return 'names and values';
  return [facts.type === 'integer' ? 'whole number' : 'number', boundsText(facts)]
    .filter(Boolean)
    .join(' ');
}

/** Bounds beyond which no number is exact anyway are no bounds. */
function boundsText(facts: Facts): string {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum } = facts;
  const isReal = (bound: number | undefined): bound is number =>
    bound !== undefined && Math.abs(bound) < Number.MAX_SAFE_INTEGER;
  const parts = [
    isReal(minimum) ? `from ${minimum}` : '',
    isReal(exclusiveMinimum) ? `above ${exclusiveMinimum}` : '',
    isReal(maximum) ? `to ${maximum}` : '',
    isReal(exclusiveMaximum) ? `below ${exclusiveMaximum}` : '',
  ];
  return parts.filter(Boolean).join(' ');
}
