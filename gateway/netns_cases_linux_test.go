package gateway

type realCase struct {
	command string
	code    int
	want    string
	needs   string
}

func realCases() []realCase {
	const curl = "curl -sS -k --max-time 60 "
	const socks = "--proxy socks5h://198.18.0.1:3128 "
	const proxy = "--proxy http://198.18.0.1:3128 "
	return []realCase{
		{command: curl + "https://api.example.com/", want: "hello api.example.com"},
		{command: curl + "http://api.example.com/", want: "hello api.example.com"},
		{command: curl + "-6 https://api.example.com/", want: "hello api.example.com"},
		{command: curl + proxy + "https://api.example.com/", want: "hello api.example.com"},
		{command: curl + proxy + "http://api.example.com/", want: "hello api.example.com"},
		{command: curl + socks + "https://api.example.com/", want: "hello api.example.com"},
		{command: curl + "--proxy socks4a://198.18.0.1:3128 https://api.example.com/", want: "hello api.example.com"},
		{command: curl + "--proxy socks5://198.18.0.1:3128 https://api.example.com/", want: "hello api.example.com"},
		{command: curl + "http://intern.example.com/", want: "hello intern.example.com"},
		{command: curl + proxy + "http://localhost:9000/", want: "a service of the host"},
		{command: curl + "http://198.18.0.3:9000/ -H 'Host: localhost:9000'", want: "a service of the host"},
		{command: "node -e \"fetch('http://api.example.com/').then(r=>r.text()).then(t=>console.log(t))\"", want: "hello api.example.com", needs: "node"},
		{command: "dig +short api.example.com A", want: "198.18.0.", needs: "dig"},
		{command: "dig +tcp +short api.example.com AAAA", want: "fdbe:117a:5:", needs: "dig"},
		{command: "dig evil.example", want: "not in the policy", needs: "dig"},
		{command: "dig +time=1 +tries=1 @8.8.8.8 api.example.com", code: 9, needs: "dig"},
		{command: "ping -c1 -W30 198.18.0.1", want: "1 received", needs: "ping"},
		// Refused, and why.
		{command: curl + "https://evil.example/", code: 6, want: "Could not resolve host"},
		{command: curl + "https://1.1.1.1/", code: 7, want: "connect to server"},
		{command: curl + "'http://[2606:4700::1111]/'", code: 7, want: "connect to server"},
		{command: curl + "http://169.254.169.254/latest/", code: 7, want: "connect to server"},
		{command: curl + "http://192.168.77.2/", code: 7, want: "connect to server"},
		{command: curl + "http://192.168.77.1/", code: 7, want: "connect to server"},
		{command: curl + "http://198.18.0.3:22/", code: 7, want: "connect to server"},
		{command: curl + "https://api.example.com:8443/", code: 7, want: "connect to server"},
		{command: curl + "-i http://own.example.com/", want: "an address of this host"},
		{command: curl + "-i http://loop.example.com/", want: "a loopback address"},
		{command: curl + "-i http://meta.example.com/", want: "a metadata service"},
		{command: curl + "-i http://private.example.com/", want: "private: true"},
		{command: curl + "https://meta.example.com/", code: 7, want: "connect to server"},
		{command: curl + "https://nowhere.example.com/", code: 7, want: "connect to server"},
		{command: curl + proxy + "http://evil.example/", want: "--allow evil.example"},
		{command: curl + proxy + "https://evil.example/", code: 56, want: "403"},
		{command: curl + socks + "https://evil.example/", code: 97, want: "2"},
		{command: curl + proxy + "http://169.254.169.254/", want: "a metadata service"},
		{command: curl + "--connect-to evil.example:443:api.example.com:443 https://evil.example/", code: 35, want: "unrecognized name"},
		{command: curl + "-i -H 'Host: evil.example' http://api.example.com/", want: "X-Belljar-Reason"},
		{command: curl + "http://policy.belljar/", want: "api.example.com port 80, 443"},
		{command: curl + "-H 'Accept: application/json' 'http://policy.belljar/?host=evil.example'", want: `"fix":"--allow evil.example"`},
		{command: curl + proxy + "'http://policy.belljar/?host=api.example.com'", want: "is allowed by the rule"},
		{command: "ping -c1 -W1 1.1.1.1", code: 1, needs: "ping"},
	}
}
