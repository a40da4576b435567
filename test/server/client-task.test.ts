import { describe, expect, it } from 'vitest';
import { isClientTask } from '../../src/server/openai/client-task.ts';

const task = (last: string, systemPrompt = ''): boolean => isClientTask({ systemPrompt, last });
const HISTORY = '\n### Chat History:\n<chat_history>\nUSER: soup?\nASSISTANT: yes\n</chat_history>';

describe('what a chat program asks for itself', () => {
  it.each([
    // Open WebUI
    `### Task:\nGenerate a concise, 3-5 word title with an emoji summarizing the chat history.${HISTORY}`,
    `### Task:\nGenerate 1-3 broad tags categorizing the main themes of the chat history.${HISTORY}`,
    `### Task:\nSuggest 3-5 relevant follow-up questions or prompts that the user might naturally ask next.${HISTORY}`,
    `### Task:\nAnalyze the chat history to determine the necessity of generating search queries, in the given language.${HISTORY}`,
    '### Task:\nYou are an autocompletion system. Continue the text in `<text>` based on the **completion type**.',
    `### Task:\nGenerate a detailed prompt for am image generation task based on the given language.${HISTORY}`,
    'Create a concise, 3-5 word title with an emoji as a title for the chat history, in the given language.',
    "Your task is to reflect the speaker's likely facial expression through a fitting emoji.",
    // LibreChat
    'Provide a concise, 5-word-or-less title for the conversation, using title case conventions. Only return the title itself.\n\nConversation:\nUser: soup?',
    'Analyze this conversation and provide:\n1. The detected language of the conversation\n2. A concise title in the detected language (5 words or less, no punctuation or quotation)',
    'Please generate a concise, 5-word-or-less title for the conversation, with no punctuation.',
    // others
    'Please generate a four to five word title summarizing our conversation without any lead-in, punctuation, quotation marks.',
    'Summarize the discussion briefly in 200 words or less to use as a prompt for future context.',
    'Based on the chat history, give this conversation a name.\nKeep it short - 10 characters max, no quotes.',
    'Create a concise, 3-5 word phrase as a title for the previous query. RESPOND ONLY WITH THE TITLE TEXT.',
    'Given the following, please reply with a title for the chat that is 3-4 words in length.',
    'Generate a concise 3-7 word title for this conversation, omitting punctuation.',
    '请总结以上对话的标题，不要解释，10个字以内',
  ])('is known: %j', (prompt) => {
    expect(task(prompt)).toBe(true);
  });

  it('is known where the system prompt asks for it', () => {
    const lobe =
      'You are a professional conversation summarizer. Generate a concise title that captures the essence of the conversation.';
    expect(task('user: soup?\nassistant: yes', lobe)).toBe(true);
    const cherry =
      "You are an assistant skilled in conversation. You need to summarize the user's conversation into a title within 10 words.";
    expect(task('soup?', cherry)).toBe(true);
  });

  it('is known after a conversation of any length, and by its name', () => {
    const long = 'We talked about soup. '.repeat(20_000);
    expect(task(`${long}\nGenerate a 3-5 word title for this conversation.`)).toBe(true);
    const metadata = { task: 'title_generation' };
    expect(isClientTask({ systemPrompt: '', last: 'soup?', metadata })).toBe(true);
  });

  it.each([
    'Give me a title for my talk about soup.',
    'Write a poem in five words.',
    'Generate JSON with the title of each discussion in the forum.',
    'What is the name of the restaurant? Answer in ten words, no explanation.',
    'Suggest tags for my blog post about cats.',
    'Summarize this article in 200 words.',
    'What should I search for? Only give one query.',
    '### Task: tidy the kitchen\nHow do I begin?',
    '### Task:\nRespond to the user query using the provided context, incorporating inline citations.\n<context>soup</context>\nWhich title has the book?',
  ])('is not what a person says: %j', (said) => {
    expect(task(said)).toBe(false);
  });

  it('is not an everyday system prompt', () => {
    expect(task('soup?', 'You are a helpful assistant. Reply in JSON, without explanation.')).toBe(
      false,
    );
  });
});
