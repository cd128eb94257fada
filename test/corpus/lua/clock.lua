if clock.between("22:00", "06:00", "Europe/Berlin") then noop "night" {} end
noop(clock.date() .. clock.weekday()) { comment = tostring(clock.hour("+02:00")) }
expect(clock.after("2026-01-01"), "too early")
