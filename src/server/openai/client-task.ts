// Recognises what a chat program asks for itself (a title, tags, questions to ask next, a search
// query, the rest of a line): nobody said it, so it is no conversation and nothing learns from it.

/** Such prompts say what is wanted at their beginning or, after the conversation, at their end. */
const EDGE = 800;

const ASKS =
  '\\b(?:generate|create|write|provide|give|suggest|make|summari[sz]e|name|craft|reply|respond|come up)\\b';
const NAME = '\\b(?:title|name|headline|topic|subject line)\\b';
const CONVERSATION =
  "\\b(?:this|the|our|your|following|above|user's)(?: \\w+)? " +
  '(?:conversation|chat|discussion|dialog(?:ue)?|thread|session|query|message|request)\\b';
/** In one sentence. */
const THEN = '[^.\\n]{0,120}?';

const NUMBER =
  '(?:\\d+|two|three|four|five|six|seven|eight|nine|ten)(?:(?: ?[-–] ?| to | or )\\w+)?';
const ANSWERS = '(?:respond|reply|return|output|answer)';
/** How long or in which form it is wanted: people seldom say that of a title. */
const FORM = new RegExp(
  [
    `\\b${NUMBER}[- ](?:words?|characters?|chars)\\b`,
    '\\bwords? or (?:less|fewer)\\b|\\bjson\\b',
    `\\b${ANSWERS}\\b[^.\\n]{0,60}\\bonly\\b|\\bonly (?:${ANSWERS}|write|give)\\b`,
    '\\b(?:no|without|avoid)\\b[^.\\n]{0,40}\\b(?:quotes?|quotation|punctuation|lead-in|explanation)',
  ].join('|'),
  'i',
);

/** Every expression of one of them has to be found. */
const TASKS: readonly (readonly RegExp[])[] = [
  [
    /^\s*#+ task:\s*\S[^\n]{0,300}(?:\b(?:title|tags|query|queries|emoji)\b|follow-?up|autocomplet)/i,
  ],
  [new RegExp(`${ASKS}${THEN}${NAME}${THEN}${CONVERSATION}`, 'i'), FORM],
  [new RegExp(`${CONVERSATION}${THEN}${NAME}`, 'i'), new RegExp(ASKS, 'i'), FORM],
  [/\btitle in the detected language\b/i],
  [/\byou are an? (?:auto-?complet|(?:professional )?conversation summari[sz]er|title generator)/i],
  [/\bsuggest\b[^.\n]{0,60}\bfollow-?up (?:questions?|prompts?)\b/i, FORM],
  [/\btags\b[^.\n]{0,60}\bcategori[sz]ing\b/i, FORM],
  [
    /\b(?:generate|rephrase|rewrite|transform|determine)\b[^.\n]{0,120}\bsearch quer(?:y|ies)\b/i,
    FORM,
  ],
  [/^\s*#+ task:\s*\S[^\n]{0,200}\bimage generation\b/i],
  [/\bfacial expression\b[^.\n]{0,60}\bemoji/i],
  [
    /\bsummari[sz]e the (?:conversation|discussion|chat)\b/i,
    /future context|new lines|current summary/i,
  ],
  [/(?:总结|概括|生成|命名|提炼|起)[^。\n]{0,40}(?:标题|主题)/, /会话|对话|聊天/],
];
/** An answer from documents, which the person asked for: the program only writes it as a task. */
const ANSWER = /^\s*#+ task:\s*respond to the user query/i;

/** What a program says of it in the metadata of the request. */
const NAMED = /^(?:title|tags|follow_up|emoji|query|image_prompt|autocomplete)_generation$/;

interface Asked {
  readonly systemPrompt: string;
  /** What is to be answered. */
  readonly last: string;
  readonly metadata?: Readonly<Record<string, unknown>> | undefined;
}

export function isClientTask({ systemPrompt, last, metadata = {} }: Asked): boolean {
  if (typeof metadata.task === 'string' && NAMED.test(metadata.task)) return true;
  if (ANSWER.test(last) || ANSWER.test(systemPrompt)) return false;
  const isTask = (text: string): boolean => TASKS.some((all) => all.every((one) => one.test(text)));
  return [systemPrompt, last].map(edges).some(isTask);
}

function edges(text: string): string {
  return text.length <= 2 * EDGE ? text : `${text.slice(0, EDGE)}\n${text.slice(-EDGE)}`;
}
