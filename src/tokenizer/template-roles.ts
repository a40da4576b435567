// Conversations in the form that a chat template takes, which is found out by trying it: some have
// no system role, want the roles to alternate, or want the person to speak first.
import { isAttuneError } from '../base/errors.ts';
import type { ChatTemplate, TemplateContext } from './chat-template.ts';
import type { ContentPlace, TemplateMessage } from './content-mark.ts';

interface Taken {
  readonly system: boolean;
  /** Two messages of one role, one after the other. */
  readonly repeats: boolean;
  readonly assistantFirst: boolean;
}

/** Messages that the template gets as one. */
interface Group {
  readonly role: string;
  content: string;
  /** Its tool calls and their like; such a message is never joined with others. */
  readonly more: Readonly<Record<string, unknown>>;
  /** Where in `content` the messages begin, by their number. */
  readonly begins: { readonly message: number; readonly at: number }[];
}

const BETWEEN = '\n\n';

/**
 * The same template for any order of roles. What it does not take is joined: a system text with the
 * first words of the person, messages of one role with each other; before a first reply the person
 * says nothing. Places are those of the messages as they were given.
 */
export function fitRoles(template: ChatTemplate): ChatTemplate {
  let taken: Taken | undefined;
  return {
    render(messages, context) {
      if (messages.every(({ role }, index) => role === (index % 2 === 0 ? 'user' : 'assistant'))) {
        return template.render(messages, context);
      }
      taken ??= tryOut(template, { ...context, tools: undefined });
      const groups = groupsOf(messages, taken);
      const fitted = groups.map(({ role, content, more }) => ({ ...more, role, content }));
      const { text, places } = template.render(fitted, context);
      return { text, places: places.flatMap((place) => placesIn(place, groups, messages)) };
    },
  };
}

/** What the template writes without refusing and without leaving something out. */
function tryOut(template: ChatTemplate, context: TemplateContext): Taken {
  const takes = (...roles: string[]): boolean => {
    const messages = roles.map((role, index) => ({ role, content: `words ${index} of ${role}` }));
    try {
      const { text } = template.render(messages, { ...context, addGenerationPrompt: true });
      return messages.every(({ content }) => text.includes(content));
    } catch (error) {
      if (isAttuneError(error, 'template-failed') || isAttuneError(error, 'span-unaligned')) {
        return false;
      }
      throw error;
    }
  };
  // One that takes nothing at all is asked for what was said, and tells why not.
  const isUsable = takes('user');
  return {
    system: !isUsable || takes('system', 'user'),
    repeats: !isUsable || takes('user', 'assistant', 'assistant', 'user', 'user'),
    assistantFirst: !isUsable || takes('assistant', 'user'),
  };
}

function groupsOf(messages: readonly TemplateMessage[], taken: Taken): Group[] {
  const groups: Group[] = [];
  for (const [index, { role: given, content, ...more }] of messages.entries()) {
    const isFolded = index === 0 && given === 'system' && !taken.system;
    const role = isFolded ? 'user' : given;
    const isBeginning = groups.every((group) => group.role === 'system');
    if (role === 'assistant' && isBeginning && !taken.assistantFirst) {
      groups.push({ role: 'user', content: '', more: {}, begins: [] });
    }
    const last = groups.at(-1);
    const followsFolded = index === 1 && messages[0]?.role === 'system' && !taken.system;
    const isJoined = last?.role === role && (followsFolded || !taken.repeats);
    if (isJoined && Object.keys({ ...last.more, ...more }).length === 0) {
      const at = last.content.length + BETWEEN.length;
      last.content += BETWEEN + content;
      last.begins.push({ message: index, at });
    } else {
      groups.push({ role, content, more, begins: [{ message: index, at: 0 }] });
    }
  }
  return groups;
}

/** The parts of a place in a group that belong to its messages. */
function placesIn(
  { message: group, start, end, contentFrom }: ContentPlace,
  groups: readonly Group[],
  messages: readonly TemplateMessage[],
): ContentPlace[] {
  return (groups[group]?.begins ?? []).flatMap(({ message, at }) => {
    const length = messages[message]?.content.length ?? 0;
    const from = Math.max(contentFrom, at);
    const to = Math.min(contentFrom + end - start, at + length);
    if (to <= from) return [];
    const shift = start - contentFrom;
    return [{ message, start: from + shift, end: to + shift, contentFrom: from - at }];
  });
}
