file "/etc/app/conf.d/x" {}
file "/etc/app/" {}
file "/etc/app/other" { autoedge = false }
