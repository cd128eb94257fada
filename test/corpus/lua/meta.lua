noop "flat" { noop = true, retry = 3, sema = { "a:1" }, protect = true, on_remove = "forget" }
noop "below" { meta = { noop = true, retry = -1, delay = "2s", poll = 5 } }
svc "own-timeout" { timeout = 5, meta = { timeout = "1s" } }
noop "hidden" { hidden = true }
