define("web", { port = "int=80", tls = "bool?", names = "list?" }, function(name, p)
  file("/srv/" .. name) { content = name .. ":" .. p.port }
  for _, n in ipairs(p.names or {}) do noop(n) {} end
end)
web "a" { names = { "x" }, needs = noop "b" }
web "b" { port = 8080, before = web "a", retry = 3 }
noop "b" { meta = { sema = { "a:1" } } }
