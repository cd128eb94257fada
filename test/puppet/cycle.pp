# A cycle through two classes: both tools must refuse it and name what is in it.
class one { file { '/c/a': content => 'a', require => File['/c/b'] } }
class two { file { '/c/b': content => 'b' } }
class { 'one': before => Class['two'] }
include two
