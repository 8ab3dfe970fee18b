import { Template } from "@huggingface/jinja";
import { ArgumentError, CheckpointError } from "../errors.ts";
import { withTimeLimit } from "./pattern.ts";

/** A message of a conversation; templates may ask for more than role and content. */
export interface ChatMessage {
  role: string;
  content?: unknown;
  [key: string]: unknown;
}

export interface ChatTemplateOptions {
  /** Ends with what begins the assistant's answer. Default false. */
  addGenerationPrompt?: boolean;
  /** Descriptions of functions that the model may call, as JSON schemas. */
  tools?: readonly unknown[];
  /** Documents to answer from. */
  documents?: readonly unknown[];
  /** A Jinja template instead of the tokenizer's. */
  chatTemplate?: string;
  /** More variables of the template. */
  variables?: Record<string, unknown>;
}

/**
 * The text of a conversation.
 *
 * @throws ArgumentError where the template refuses the messages
 * @throws CheckpointError where the template is no Jinja, or takes longer than two seconds
 */
export function renderChat(
  source: string,
  messages: readonly ChatMessage[],
  options: ChatTemplateOptions,
  tokens: Record<string, string>,
): string {
  let template: Template;
  try {
    template = new Template(source);
  } catch (cause) {
    const message = `the chat template cannot be parsed: ${(cause as Error).message}`;
    throw new CheckpointError(message, { cause });
  }
  const variables = {
    messages,
    add_generation_prompt: options.addGenerationPrompt ?? false,
    ...(options.tools && { tools: options.tools }),
    ...(options.documents && { documents: options.documents }),
    ...tokens,
    ...options.variables,
  };
  try {
    return withTimeLimit("the chat template", 0, () => template.render(variables));
  } catch (cause) {
    if (cause instanceof CheckpointError) throw cause;
    throw new ArgumentError(
      `applyChatTemplate: the template refuses the messages: ${(cause as Error).message}`,
    );
  }
}
