noop "a" {}
noop "b" { needs = noop "a" }
noop "c" { before = noop "d", needs = { noop "a", { noop "b" } } }
noop "d" { listen = noop "a" }
noop "e" { notify = { noop "a2" }, needs = false }
noop "a2" {}
noop("f", { needs = noop "e" })
http_server "web" { before = noop("f") }
