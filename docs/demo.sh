#!/bin/sh
# Shows what a sandbox sees, on a project made for it. Usage: demo.sh BELLJAR
set -eu
belljar=$(realpath "$1")
root=$(cd "$(dirname "$0")/.." && pwd)
tmp=$(mktemp -d)
server=""
cleanup() {
	[ -z "$server" ] || kill "$server" 2>/dev/null || true
	rm -rf "$tmp"
}
trap cleanup EXIT INT TERM

(cd "$root" && go build -o "$tmp/server" ./internal/demoserver)
"$tmp/server" >"$tmp/port" &
server=$!
while ! [ -s "$tmp/port" ]; do kill -0 "$server"; done
port=$(cat "$tmp/port")

mkdir -p "$tmp/project/.git/hooks"
cd "$tmp/project"
if command -v git >/dev/null; then git init -q .; fi
echo 'API_KEY=sk-real-secret' >.env
echo 'a project' >README

cat >"$tmp/project/tour.sh" <<'EOF'
say() { if [ -t 1 ] && [ -z "${NO_COLOR-}" ]; then printf '\n\033[1m%s\033[0m\n' "$1"; else printf '\n%s\n' "$1"; fi; }
say "Its own kernel"
uname -sr
say "The project is there, the secret is not"
ls -A
cat .env 2>&1 || true
say "A git hook: written inside, held outside"
printf '#!/bin/sh\necho the agent was here\n' >.git/hooks/pre-commit
chmod +x .git/hooks/pre-commit
ls -l .git/hooks/pre-commit
echo 'changed by the agent' >README
say "An allowed host answers"
if command -v curl >/dev/null; then
	curl -sS --max-time 10 "http://localhost:$1/"
	say "Any other host does not exist"
	curl -sS --max-time 10 https://exfiltrate.example/ 2>&1 || true
else
	echo "(curl is not installed here)"
fi
EOF

echo "\$ belljar run --allow localhost:$port -- sh tour.sh"
"$belljar" run --allow "localhost:$port" -- sh tour.sh "$port"

printf '\nOn the host\n'
echo "README: $(cat README)"
if [ -e .git/hooks/pre-commit ]; then
	echo "FAILED: the hook landed" >&2
	exit 1
fi
echo "the hook is not there; it waits:"
"$belljar" diff
"$belljar" discard
