package credential

import "testing"

func TestCarriers(t *testing.T) {
	for _, h := range []string{
		"Authorization", "Proxy-Authorization", "X-Authorization", "X-Forwarded-Authorization", "X-Goog-Iam-Authorization-Token", "X-Api-Key", "Api-Key", "X_Api_Key", "Apikey", "X-Goog-Api-Key", "X-Auth-Token",
		"X-Auth-Key", "Private-Token", "Job-Token", "Deploy-Token", "X-Amz-Security-Token", "X-Vault-Token", "X-Gitlab-Token", "X-Shopify-Access-Token", "X-Figma-Token", "Token",
		"Dd-Api-Key", "Dd-Application-Key", "Ocp-Apim-Subscription-Key", "X-Functions-Key", "X-Subscription-Token", "Xi-Api-Key", "X-Jfrog-Art-Api", "X-Client-Secret", "X-Password",
	} {
		if !carriesCredential(h) {
			t.Errorf("%s carries no credential", h)
		}
	}
	for _, h := range []string{
		"Accept", "Content-Type", "User-Agent", "Cookie", "Mcp-Session-Id", "Idempotency-Key", "Sec-Websocket-Key", "X-Csrf-Token", "X-Xsrf-Token", "Lock-Token", "Anthropic-Beta",
		"X-Goog-Api-Client", "X-Github-Api-Version", "Openai-Organization", "Access-Control-Request-Headers", "Git-Protocol", "X-Claude-Code-Session-Id", "Npm-Auth-Type", "Authority", "Surrogate-Key",
	} {
		if carriesCredential(h) {
			t.Errorf("%s carries a credential", h)
		}
	}
	for _, q := range []string{"access_token", "api_key", "apikey", "api-key", "X-Amz-Signature", "private_token", "client_secret", "token", "subscription-key"} {
		if !carriesInQuery(q, "api.example.com") {
			t.Errorf("the parameter %s carries no credential", q)
		}
	}
	for _, q := range []string{"key", "page_token", "pageToken", "next", "per_page", "service", "beta"} {
		if carriesInQuery(q, "api.example.com") {
			t.Errorf("the parameter %s carries a credential", q)
		}
	}
}
