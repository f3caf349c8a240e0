// Package credential keeps the keys of a sandbox outside of it.
//
//	creds, keys, err := credential.Make(ctx, plan.Network.Credentials, os.Environ())
//	…creds go into the plan: they hold stand-ins and no secret…
//
//	v := keys.Outgoing(ctx, &credential.Request{Host: host, Port: 443, Secure: true,
//		Method: r.Method, Path: path, URI: r.URL.RequestURI(), Header: r.Header})
//	if v.Refuse != "" {
//		…answer v.Status, record v.Refuse, v.Fix and v.Leaks; nothing is sent…
//	}
//	r.Body = v.Body(r.Body, record)
//	…send; then, of the answer…
//	resp.Body, err = v.Response(resp.StatusCode, resp.Header, resp.Body)
package credential
