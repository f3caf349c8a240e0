package credential

import (
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
)

// plainName is a header or parameter without what servers do not tell apart:
// X-Api-Key, x_api_key and XApiKey are one variable of a CGI program, $key and key one
// parameter of some.
func plainName(name string) string {
	var room [64]byte
	b := room[:0]
	for i := range len(name) {
		switch c := name[i]; {
		case c == '-' || c == '_' || c == '.' || c == ' ' || c == '[' || c == ']' || c == '$':
		case 'A' <= c && c <= 'Z':
			b = append(b, c-'A'+'a')
		default:
			b = append(b, c)
		}
	}
	return string(b)
}

// carriesCredential says whether a header is one that servers take an account from.
// It is a list of what the names have in common, since a server may take any.
func carriesCredential(header string) bool {
	name := plainName(header)
	with := func(parts ...string) bool {
		return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(name, part) })
	}
	switch {
	case strings.HasPrefix(name, "accesscontrol"):
		return false
	case strings.Contains(name, "auth"):
		return name == "auth" || name == "xauth" || with("authorization", "authtoken", "authkey")
	case strings.Contains(name, "token"):
		// X-VENDOR-Token is the usual name; these are of something else.
		other := with("csrf", "xsrf", "lock", "sync", "page", "next", "continuation", "resume", "request", "verification")
		return strings.HasSuffix(name, "token") && !other || with("apitoken", "accesstoken", "securitytoken", "bearertoken")
	case strings.Contains(name, "key"):
		return name == "xkey" || with("apikey", "accesskey", "secretkey", "applicationkey", "appkey", "functionskey",
			"subscriptionkey", "masterkey", "servicekey")
	case strings.Contains(name, "secret"):
		return name == "xsecret" || with("apisecret", "clientsecret")
	}
	return with("passw", "credential", "bearer", "assertion", "jfrogartapi")
}

// carriesInQuery says the same of a parameter of a query. host is the one that the
// request goes to: at some, short names are credentials.
func carriesInQuery(name, host string) bool {
	switch plainName(name) {
	case "accesstoken", "apikey", "xapikey", "apitoken", "authtoken", "oauthtoken", "privatetoken", "jobtoken", "deploytoken",
		"sessiontoken", "securitytoken", "subscriptionkey", "subscriptiontoken", "clientsecret", "clientassertion", "password", "passwd",
		"authorization", "authkey", "accesskey", "secretkey", "idtoken", "refreshtoken", "bearertoken", "token", "xgoogapikey",
		"xamzcredential", "xamzsignature", "xamzsecuritytoken", "xgoogcredential", "xgoogsignature", "awsaccesskeyid", "googleaccessid",
		"xossaccesskeyid", "xosscredential", "sig":
		return true
	case "key":
		return host == "googleapis.com" || strings.HasSuffix(host, ".googleapis.com")
	}
	return false
}

// A parameter is one of a query, not decoded in raw.
type parameter struct{ name, value string }

// parameters are those of a request target, in its query and behind semicolons of its
// path. What cannot be decoded counts as it is.
func parameters(uri string) (all []parameter) {
	parts := strings.FieldsFunc(uri, func(r rune) bool { return strings.ContainsRune("?&;#", r) })
	for _, p := range parts[min(1, len(parts)):] {
		name, value, _ := strings.Cut(p, "=")
		all = append(all, parameter{unescaped(name), unescaped(value)})
	}
	return all
}

func unescaped(s string) string {
	if d, err := url.QueryUnescape(s); err == nil {
		return d
	}
	return s
}

// balancers are the cookies of load balancers and of protection against floods, which
// name no account.
func balancer(cookie string) bool {
	switch cookie {
	case "__cf_bm", "_cfuvid", "cf_clearance", "__cflb", "__cfruid", "AWSALB", "AWSALBCORS", "AWSALBTG", "AWSALBTGCORS", "GCLB":
		return true
	}
	return false
}

// cutCookies takes the cookies that may name an account out of h and says whether there
// were any.
func cutCookies(h http.Header) bool {
	var kept []string
	cut := false
	for _, line := range h["Cookie"] {
		for _, c := range strings.Split(line, ";") {
			c = textproto.TrimString(c)
			if name, _, _ := strings.Cut(c, "="); balancer(textproto.TrimString(name)) {
				kept = append(kept, c)
			} else if c != "" {
				cut = true
			}
		}
	}
	switch {
	case !cut:
	case len(kept) == 0:
		delete(h, "Cookie")
	default:
		h["Cookie"] = []string{strings.Join(kept, "; ")}
	}
	return cut
}

// OverridesRequest says whether a header makes some servers treat a request as one of
// another method or path than was judged. Some of them read underscores as hyphens.
func OverridesRequest(header string) bool {
	switch plainName(header) {
	case "xhttpmethodoverride", "xhttpmethod", "xmethodoverride", "httpmethodoverride",
		"xoriginalurl", "xoriginaluri", "xrewriteurl", "xforwardeduri", "xforwardedpath":
		return true
	}
	return false
}
