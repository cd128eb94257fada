-- test: file lib/web.lua define("web", { port = "int=80", tls = "bool?", names = "list?", root = "path=/srv" }, function(name, p)\n  pkg("app-" .. name) {}\n  file(p.root .. "/" .. name) { content = name .. ":" .. p.port, needs = pkg("app-" .. name) }\n  if p.tls then noop("tls-" .. name) {} end\n  for _, n in ipairs(p.names or {}) do noop(n) {} end\nend)\nreturn { ports = { 1, 2 } }\n
local lib = import "lib.web"
pkg "base" {}
web "a" { needs = pkg "base" }
web "b" { port = lib.ports[2], tls = true, names = { "n1", "n2" }, needs = web "a", retry = 2 }
svc "proxy" { listen = web "b", state = "running" }
define("pair", {}, function(name)
  web(name .. "1") { noop = true }
  web(name .. "2") { root = "/opt", meta = { retry = 7 } }
end)
pair "p" { before = svc "proxy", meta = { retry = 9, delay = 100 } }
