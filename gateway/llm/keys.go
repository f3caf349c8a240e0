package llm

// The keys of requests in which nothing is fetched, beside those that are judged. Where
// the provider may not fetch, others are refused.

var anthropicKeys = []string{
	"model", "models", "fallbacks", "max_tokens", "messages", "system", "stream", "tools", "tool_choice", "mcp_servers", "container",
	"temperature", "top_p", "top_k", "stop_sequences", "metadata", "thinking", "service_tier", "cache_control", "context_management",
	"output_config", "output_format", "betas", "anthropic_beta", "anthropic_version", "inference_geo", "speed", "diagnostics",
	"safeguards", "context_hint", "fallback_credit_token", "tags", "thread",
}

// openAIKeys are those of responses, chat completions, completions and embeddings, and of
// well-known servers that speak this API.
var openAIKeys = []string{
	"model", "models", "fallbacks", "stream", "stream_options", "max_tokens", "max_completion_tokens", "max_output_tokens", "n", "best_of",
	"messages", "input", "instructions", "prompt", "suffix", "echo", "tools", "tool_choice", "functions", "function_call", "parallel_tool_calls", "max_tool_calls",
	"web_search_options", "plugins", "background", "conversation", "previous_response_id", "include", "truncation", "context_management",
	"temperature", "top_p", "top_k", "top_a", "min_p", "seed", "stop", "frequency_penalty", "presence_penalty", "repetition_penalty", "logit_bias", "logprobs", "top_logprobs",
	"text", "verbosity", "response_format", "modalities", "audio", "prediction", "reasoning", "reasoning_effort", "include_reasoning", "thinking", "enable_thinking",
	"store", "metadata", "client_metadata", "access_programs", "user", "safety_identifier", "service_tier", "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options", "cache_control",
	"encoding_format", "dimensions", "input_type", "truncate", "usage", "chat_template_kwargs", "keep_alive", "generate", "type",
}

var geminiKeys = []string{
	"model", "contents", "content", "requests", "tools", "toolConfig", "tool_config", "safetySettings", "safety_settings", "systemInstruction", "system_instruction",
	"generationConfig", "generation_config", "cachedContent", "cached_content", "generateContentRequest", "generate_content_request", "labels",
	"serviceTier", "service_tier", "store", "taskType", "task_type", "title", "outputDimensionality", "output_dimensionality",
}
