// Package llm reads what goes to and comes from the APIs of language models: Anthropic's
// messages, OpenAI's responses, chat completions and embeddings, Gemini's
// generateContent.
//
//	facts, no := llm.Judge(body, llm.Options{API: rule.API, Call: path.Call, Fetch: rule.Fetch})
//	hold, spent := budget.Reserve(accounts, facts.Estimate(len(body)))
//	u := llm.NewUsage(rule.API, answer.Header.Get("Content-Type"))
//	… u.Write(what the server sends) …
//	hold.Settle(u.Spent(facts, …).Total())
//
// # Model
//
// [Judge] takes a request's body in one way or not at all: JSON in UTF-8 without a byte
// order mark, no key twice in any object, and in the objects that are judged no two keys
// that differ in case or underscores only, and none that differs so from one that is
// judged. Where the provider may not fetch, what is known to fetch nothing passes: keys
// of a request, kinds of content, of sources and of tools that this package does not know are
// refused.
// Schemas of tools, their arguments and metadata are not looked into.
//
// [Usage] counts from what passes by, in constant memory, the same however it is cut
// into pieces. It believes whole numbers between 0 and 10^12 at the places where the
// API has them, and the largest of each.
//
// A [Budget] reserves before a call what it may come to at most ([Facts.Estimate]) and
// settles afterwards what it came to; where the server did not tell, what it may have
// been.
//
// # Limitations
//
// A request's tokens are estimated from its bytes, so that a call may cost more than was
// reserved; what was spent then is above the limit by that. A server that tells too
// little is believed. What a model has been told in an earlier request and is named by
// previous_response_id is judged when it is sent, not when it is named.
package llm
