// Asks belljar about every line before opencode's shell tool runs it.
import { spawn } from "node:child_process"

const ask = (input) =>
  new Promise((answer) => {
    const hook = spawn("/run/belljar/guest", ["hook", "opencode"], { stdio: ["pipe", "pipe", "ignore"] })
    let out = ""
    hook.stdout.on("data", (data) => (out += data))
    hook.on("error", (err) => answer({ decision: "deny", reason: "belljar: its hook did not start: " + err.message }))
    hook.on("close", (code) => {
      try {
        answer(code === 0 && out === "" ? {} : JSON.parse(out))
      } catch {
        answer({ decision: "deny", reason: "belljar: its hook broke off" })
      }
    })
    hook.stdin.on("error", () => {})
    hook.stdin.end(input)
  })

export const Belljar = async ({ directory }) => ({
  "tool.execute.before": async (input, output) => {
    if (input.tool !== "bash") return
    const said = await ask(JSON.stringify({ cwd: directory, tool_name: input.tool, tool_input: output.args }))
    if (said.decision) throw new Error(said.reason)
  },
})
