#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# What "nginx -t" says to files of rules and of access keys, with the line; no
# message repeats a secret.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More;

###############################################################################

my $t = MqttTest->new;

my @good_acl = (
    "allow all #\n",
    "# comment\r\n\r\n \t allow  publish\ta/b  \r\n#",
    "deny subscribe,p2p,publish user=a a/%c/%%/%u%g/#",
    "allow all client=a/b#+ \$SYS/x\nallow all group=g +\n",
    "allow publish users with spaces/+/x\n",
);

my @bad_acl = (
    [ "allow all #\npermit all #\n", 2, 'does not begin with allow or deny' ],
    [ "ALLOW all #\n", 1, 'does not begin with allow or deny' ],
    [ "allow\n", 1, 'a verb other than publish, subscribe, p2p or all' ],
    [ "allow read #\n", 1, 'a verb other than' ],
    [ "allow publish,,p2p #\n", 1, 'a verb other than' ],
    [ "allow publish, #\n", 1, 'a verb other than' ],
    [ "#\n\nallow all\n", 3, 'no topic filter' ],
    [ "allow all user=a\n", 1, 'no topic filter' ],
    [ "allow all user= a\n", 1, 'an empty name' ],
    [ "allow all group= a\n", 1, 'an empty name' ],
    [ "allow all a/#/b\n", 1, 'an invalid topic filter' ],
    [ "allow all a+/b\n", 1, 'an invalid topic filter' ],
    [ "allow all a/\xff\n", 1, 'an invalid topic filter' ],
    [ "allow all \$share/g/a\n", 1, 'an invalid topic filter' ],
    [ "allow all \$share\n", 1, 'an invalid topic filter' ],
    [ "allow all %x/a\n", 1, 'a placeholder other than %c, %u, %g or %%' ],
    [ "allow all a/100%\n", 1, 'a placeholder other than' ],
);

my @good_keys = (
    "id s3cret mqtt-1\n",
    "# a\n\nid s3cret|x mqtt-1 R:a W:b/+/# RW:# WR:\$SYS/x\r\nid2 s i",
);

my @bad_keys = (
    [ "id\n", 1, 'no id, secret and instance' ],
    [ "#\nid s3cret \n", 2, 'no id, secret and instance' ],
    [ "a|b s3cret mqtt-1\n", 1, 'a "|" in an id or instance' ],
    [ "a s3cret mqtt|1\n", 1, 'a "|" in an id or instance' ],
    [ "a s3cret i\nb s3cret i\n\na s3cret i\n", 4, 'duplicate access key' ],
    [ "a s3cret i X:a\n", 1, 'does not begin with R:, W: or RW:' ],
    [ "a s3cret i RR:a\n", 1, 'does not begin with R:, W: or RW:' ],
    [ "a s3cret i :a\n", 1, 'does not begin with R:, W: or RW:' ],
    [ "a s3cret i RW\n", 1, 'does not begin with R:, W: or RW:' ],
    [ "a s3cret i R:\n", 1, 'a permission with an invalid topic filter' ],
    [ "a s3cret i R:a W:a/#/b\n", 1, 'an invalid topic filter' ],
);

my @bad = (
    [ 'auth anonymous; acl;', qr/invalid number of arguments in "acl"/ ],
    [ 'auth anonymous; acl a b;', qr/invalid number of arguments in "acl"/ ],
    [ 'auth anonymous; acl absent;', qr/open\(\) "\S+\/absent" failed/ ],
    [ 'auth anonymous; acl .;', qr/"\S+" is not a regular file/ ],
    [ 'auth anonymous; acl good; acl good;', qr/"acl" directive is dupl/ ],
    [ 'auth signature;', qr/"signature" takes one parameter, the file/ ],
    [ 'auth signature a b;', qr/"signature" takes one parameter, the file/ ],
    [ 'auth signature absent;', qr/open\(\) "\S+\/absent" failed/ ],
    [ 'auth signature keys; auth signature keys;',
      qr/method "signature" is duplicate/ ],
    [ 'auth signature keys; auth token;', qr/"token" takes one parameter/ ],
    [ 'auth signature keys; auth token absent;',
      qr/open\(\) "\S+\/absent" failed/ ],
    [ 'auth signature keys; auth token good;',
      qr/a secret of less than 32 bytes in "\S+\/good:1"/ ],
    [ 'auth signature keys; auth token nothing;',
      qr/no secret in "\S+\/nothing"/ ],
    [ 'auth signature keys; auth token secret; auth token secret;',
      qr/method "token" is duplicate/ ],
    [ 'auth token secret;',
      qr/"auth token" without "auth signature" in mqtt_gateway "test"/, 6 ],
    [ 'auth device_credential x;',
      qr/method "device_credential" takes no parameters/ ],
    [ 'auth device_credential; auth device_credential;',
      qr/method "device_credential" is duplicate/ ],
);

$t->write_file('good', "allow all #\n");
$t->write_file('keys', "id s3cret mqtt-1\n");
$t->write_file('nothing', "# nothing\n");
$t->write_file('secret', 's' x 32 . "\n");

plan tests => @good_acl + @good_keys + 2 * @bad_acl + 2 * @bad_keys + @bad
              + 2 * 2 + 4;

check('acl test; auth anonymous;', \@good_acl, \@bad_acl);
check('auth signature test;', \@good_keys, \@bad_keys);

for my $case (@bad) {
    my ($text, $message, $line) = @$case;

    $line //= 5;

    my ($output) = $t->nginx_t(conf($text));
    like($output, qr/\[emerg\] .*$message.* in \S+:$line$/m,
         "refused: $text");
}

for my $case ([ 'acl test; auth anonymous;',
                qr/no rule in "\S+\/test", everything is refused/ ],
              [ 'auth signature test;', qr/no access key in "\S+\/test"/ ]) {
    $t->write_file('test', "# nothing\n");

    my ($output, $rc) = $t->nginx_t(conf($case->[0]));
    is($rc, 0, 'an empty file is accepted');
    like($output, qr/\[warn\] .*$case->[1]/, 'with a warning');
}

# mqtt_token, before and behind the gateway that it names

my $served = 'auth signature keys; auth token secret;';

for my $case ([ 'test', $served, qr/is successful/ ],
              [ 'other', $served,
                qr/unknown mqtt_gateway "other" in \S+:10$/m ],
              [ 'test', 'auth anonymous;',
                qr/"mqtt_token" needs .* mqtt_gateway "test" in \S+:10$/m ],
              [ 'test; mqtt_token test', $served, qr/is duplicate/ ]) {
    my ($name, $auth, $message) = @$case;

    my ($output) = $t->nginx_t(conf($auth) . <<"END");
http { access_log off; server { listen 127.0.0.1:%%PORT_http%%;
    location / { mqtt_token $name; }
} }
END
    like($output, $message, "mqtt_token $name");
}

###############################################################################

sub check {
    my ($directive, $good, $bad) = @_;

    for my $text (@$good) {
        $t->write_file('test', $text);

        my ($output, $rc) = $t->nginx_t(conf($directive));
        is($rc, 0, 'accepted: ' . $text =~ s/[\r\n]+/ | /gr)
            or diag($output);
    }

    for my $case (@$bad) {
        my ($text, $line, $message) = @$case;

        $t->write_file('test', $text);

        my ($output) = $t->nginx_t(conf($directive));
        my $place = qr/in "\S+\/test:$line" in \S+:5$/m;

        like($output, qr/\[emerg\] .*\Q$message\E.* $place/,
             "line $line: $message");
        unlike($output, qr/s3cret/, 'without the secret');
    }
}


sub conf {
    my ($directives) = @_;

    return <<"END";
%%GLOBALS%%
events { }
stream {
    mqtt_gateway test { zone 4m; redis 127.0.0.1;
        $directives
    }
    server { listen 127.0.0.1:%%PORT_mqtt%%; mqtt_pass test; }
}
END
}

###############################################################################
