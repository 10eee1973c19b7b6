#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# The "auth" directive: what "nginx -t" accepts and refuses, with file and
# line of the configuration and of the password file; no message repeats a
# password or a hash.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More;

###############################################################################

my $t = MqttTest->new;
my $dir = $t->dir;

my $sha = '{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=';
my $ssha = '{SSHA}gGKzPcR7HzEbcjeJ8VZsEJOTIZlzYWx0';
my $apr1 = '$apr1$salt$Xxd1irWT9ycqoYxGFn4cb.';
my $des = crypt('secret', 'ab');
my $bcrypt = crypt('secret', '$2y$04$' . 'abcdefghijklmnopqrstuu');
my $sha512 = crypt('secret', '$6$rounds=1000$salt$');

my @files = (
    [ "a:$sha\n", '{SHA}' ],
    [ "a:$ssha\n", '{SSHA}' ],
    [ "a:{PLAIN}s3cret\n", '{PLAIN}' ],
    [ "a:$apr1\n", 'apr1' ],
    [ "a:$des\n", 'DES' ],
    [ "a:$bcrypt\n", 'bcrypt' ],
    [ "a:$sha512\n", 'SHA-512' ],
    [ "a:$des\nb:$bcrypt\nc:$apr1\nd:$bcrypt\n", 'several schemes' ],
    [ "# users\n\na:$sha\r\n\r\n#b\nc:$des", 'comments, CRLF, no last LF' ],
    [ "a:$des:what is behind a second colon\n", 'a comment behind the hash' ],
    [ "a:{PLAIN}s3cret:1\n", 'a colon in a plain password' ],
);

my @bad_files = (
    [ "a\n", 1, 'no colon' ],
    [ "a:$sha\n#\nb s3cret\n", 3, 'no colon' ],
    [ "a:$sha\n:$des\n", 2, 'no user name' ],
    [ "a:\n", 1, 'no password hash' ],
    [ "a:$des\nb::x\n", 2, 'no password hash' ],
    [ "a:$des\nb:$des\n\na:$sha\n", 4, 'duplicate user' ],
    [ "a:$des\nb:x\0y\n", 2, 'a zero byte' ],
    [ "a:s3cret\n", 1, 'unknown or broken hash' ],
    [ "a:*\n", 1, 'unknown or broken hash' ],
    [ "a:{MD5}s3cret\n", 1, 'unknown or broken hash' ],
    [ "a:{SHA}s3cret\n", 1, 'unknown or broken hash' ],
    [ "a:\$9\$s3cret\$s3cret\n", 1, 'unknown or broken hash' ],
    [ "a:$bcrypt\nb:" . substr($bcrypt, 0, 59) . "\n", 2,
      'unknown or broken hash' ],
    [ "a:$bcrypt\nb:" . ($bcrypt =~ s/.{20}\K./!/r) . "\n", 2,
      'unknown or broken hash' ],
    [ "a:$sha512\nb:" . ($sha512 =~ s/.$//r) . "\n", 2,
      'unknown or broken hash' ],
);

$t->write_file('users', "a:$sha\n");
$t->write_file('empty', "# nobody\n");

my @good = (
    'anonymous',
    'password users',
    "password $dir/users",
    "password users;\nauth anonymous",
    "password users;\nauth password empty",
);

my @bad = (
    [ '', qr/invalid number of arguments in "auth" directive/ ],
    [ 'nonsense', qr/unknown auth method "nonsense"/ ],
    [ 'anonymous users', qr/method "anonymous" takes no parameters/ ],
    [ 'password', qr/method "password" takes one parameter, the file/ ],
    [ 'password users empty', qr/takes one parameter, the file/ ],
    [ 'password absent', qr/open\(\) "\S+\/absent" failed \(2: No such/ ],
    [ 'password .', qr/"\S+" is not a regular file/ ],
    [ "anonymous;\nauth password users",
      qr/auth method "password" after "anonymous"/, 6 ],
    [ "anonymous;\nauth anonymous",
      qr/auth method "anonymous" after "anonymous"/, 6 ],
);

plan tests => @files + 2 * @bad_files + @good + @bad + 3;

for my $case (@files) {
    my ($text, $name) = @$case;

    $t->write_file('test', $text);

    my ($output, $rc) = $t->nginx_t(conf('auth password test;'));
    is($rc, 0, "file accepted: $name") or diag($output);
}

for my $case (@bad_files) {
    my ($text, $line, $message) = @$case;

    $t->write_file('test', $text);

    my ($output) = $t->nginx_t(conf('auth password test;'));

    like($output, qr/\[emerg\] .*\Q$message\E in "\S+\/test:$line" in \S+:5$/m,
         "line $line: $message");
    unlike($output, qr/s3cret|\Q$des\E|\Q$bcrypt\E|\Q$sha512\E|5en6G6/,
           'without the hash');
}

for my $args (@good) {
    my ($output, $rc) = $t->nginx_t(conf("auth $args;"));
    is($rc, 0, "accepted: $args") or diag($output);
}

for my $case (@bad) {
    my ($args, $message, $line) = @$case;

    $line //= 5;

    my ($output) = $t->nginx_t(conf("auth $args;"));
    like($output, qr/\[emerg\] .*$message.* in \S+:$line$/m, "refused: $args");
}

my ($output) = $t->nginx_t(conf(''));
like($output, qr/no "auth" is defined for mqtt_gateway "test"/,
     'auth is not optional');

my $rc;

($output, $rc) = $t->nginx_t(conf('auth password empty;'));
is($rc, 0, 'a file without users is accepted');
like($output, qr/\[warn\] .*no user in "\S+\/empty"/, 'with a warning');

###############################################################################

# the directive stands in line 5

sub conf {
    my ($auth) = @_;

    return <<"END";
%%GLOBALS%%
events { }
stream {
    mqtt_gateway test { zone 4m; redis 127.0.0.1;
        $auth
    }
    server { listen 127.0.0.1:%%PORT_mqtt%%; mqtt_pass test; }
}
END
}

###############################################################################
