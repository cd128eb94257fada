-- test: values {"port": 8080, "names": ["a", "b"], "deep": {"x": {"y": true}}}
-- test: facts {"memory": 1024, "os": {"id": "debian"}, "own": "fact"}
-- test: secrets {"db": "hunter2"}
value "a" { any = { values.port, values.names, values.deep.x.y, values.none == nil } }
value "b" { any = { facts.memory, facts.os.id, facts.own, facts.kernel == nil } }
value "c" { any = "password=" .. secret "db" .. "\n" }
value "d" { any = { clock.weekday(), clock.date(), clock.hour("Europe/Berlin") } }
file "/secret" { content = secret "db" }
file "/none" { content = read("missing", "otherwise") }
value "e" { any = { inner = secret "db" } }
