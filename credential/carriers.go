package credential

import (
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
)

// plainName is a header or parameter without what servers do not tell apart:
// X-Api-Key, x_api_key and XApiKey are one variable of a CGI program.
func plainName(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '-' || r == '_' || r == '.' || r == ' ' || r == '[' || r == ']':
			return -1
		case 'A' <= r && r <= 'Z':
			return r - 'A' + 'a'
		}
		return r
	}, name)
}

// carriesCredential says whether a header is one that servers take an account from.
// It is a list of what the names have in common, since a server may take any.
func carriesCredential(header string) bool {
	name := plainName(header)
	for _, part := range []string{
		"authorization", "apikey", "apitoken", "apisecret", "authtoken", "accesstoken", "sessiontoken",
		"securitytoken", "privatetoken", "jobtoken", "deploytoken", "usertoken", "servicetoken", "secrettoken",
		"authkey", "accesskey", "secretkey", "applicationkey", "appkey", "functionskey", "subscriptionkey", "masterkey", "servicekey",
		"vaulttoken", "gitlabtoken", "githubtoken", "subscriptiontoken", "jfrogartapi", "clientsecret",
		"password", "passwd", "credential", "bearer", "identitytoken", "idtoken", "assertion",
	} {
		if strings.Contains(name, part) && !strings.HasPrefix(name, "accesscontrol") {
			return true
		}
	}
	return name == "xtoken" || name == "token" || name == "xauth" || name == "auth" || name == "xkey" || name == "xsecret"
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

// parameters are those of a request target. What cannot be decoded counts as it is.
func parameters(uri string) (all []parameter) {
	_, query, _ := strings.Cut(uri, "?")
	for _, p := range strings.FieldsFunc(query, func(r rune) bool { return r == '&' || r == ';' || r == '#' }) {
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

// overridesRequest says whether a header makes some servers treat a request as one of
// another method or path than was judged.
func overridesRequest(header string) bool {
	switch plainName(header) {
	case "xhttpmethodoverride", "xhttpmethod", "xmethodoverride", "httpmethodoverride", "xoriginalurl", "xrewriteurl", "xoriginaluri":
		return true
	}
	return false
}
