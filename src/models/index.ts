export { AutoModel, AutoModelForCausalLM, AutoModelForSeq2SeqLM, type LoadOptions } from "./auto.ts";
export { Bart, type BartConfig } from "./bart.ts";
export { Bert, type BertConfig, type BertInput, type BertOutput } from "./bert.ts";
export {
  BertForSequenceClassification,
  type Pooling,
  type SequenceClassificationOptions,
} from "./bert-classification.ts";
export { BertForMultiTask, type MultiTaskInput, type MultiTaskOutput, type Task } from "./bert-multi-task.ts";
export {
  BertForMaskedLM,
  BertForPreTraining,
  type MaskedLMInput,
  type MaskedLMOutput,
  type PreTrainingInput,
  type PreTrainingOutput,
} from "./bert-pretraining.ts";
export {
  BertForQuestionAnswering,
  BertForTokenClassification,
  type QuestionAnsweringInput,
  type QuestionAnsweringOutput,
} from "./bert-token-heads.ts";
export { CausalLM, type CausalLMInput, type CausalLMOutput } from "./causal-lm.ts";
export {
  type AverageCheckpointsOptions,
  type AverageOptions,
  averageCheckpoints,
  averageStateDicts,
} from "./checkpoint-averaging.ts";
export type { ClassificationInput, ClassificationOutput, LabelOptions } from "./classification-labels.ts";
export { classificationLoss, type ProblemType } from "./classification-loss.ts";
export { VotingClassifier, type VotingMember, type VotingOptions, type VotingOutput } from "./ensemble.ts";
export { fromGGUF, type ToGGUFOptions, toGGUF } from "./gguf-format.ts";
export { fromGGUFTokenizer, type TokenizerFiles, toGGUFTokenizer } from "./gguf-tokenizer.ts";
export { GPT, type GPTConfig } from "./gpt.ts";
export { Llama, type LlamaConfig } from "./llama.ts";
export { PreTrainedModel, type SaveOptions } from "./pretrained.ts";
export { SentenceEncoder, type SentenceEncoderOptions } from "./sentence-encoder.ts";
export {
  type EncodeInput,
  type Seq2SeqConfig,
  type Seq2SeqInput,
  Seq2SeqLM,
  type Seq2SeqOutput,
} from "./seq2seq-lm.ts";
export { T5, type T5Config } from "./t5.ts";
export { Transformer, type TransformerConfig } from "./transformer.ts";
