exec "gen" { cmd = "date" }
file "/a" { content = out(exec "gen", "stdout") }
file "/b" { content = out(exec "gen", "stdout"), needs = exec "gen" }
value "v" { any = out(exec "later", "stdout") }
exec "later" {}
