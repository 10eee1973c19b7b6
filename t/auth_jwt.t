#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# JSON Web Tokens of others: algorithms, keys, claims, forgeries, the end of a
# token on the live connection; nginx -t.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use Digest::SHA qw/ hmac_sha384 hmac_sha512 /;
use MqttTest;
use MqttTest::Auth qw/ jwt reason /;
use MqttTest::Util qw/ slurp /;
use Test::More;

###############################################################################

my $t = MqttTest->new;
my $dir = $t->dir;
my $secret = 's' x 48;

$t->write_file('secret', "$secret\n");
$t->write_file('short', "short\n");
$t->write_file('rules', "allow all users/%u\n");
openssl("genrsa -out $dir/rsa.key 2048");
openssl("ecparam -name prime256v1 -genkey -noout -out $dir/ec.key");
openssl("pkey -in $dir/$_.key -pubout -out $dir/$_.pub") for qw/ rsa ec /;

my %gateways = (
    mqtt  => "auth jwt alg=HS256 key=$dir/secret;",
    hs384 => "auth jwt alg=HS384 key=$dir/secret clientid=off;",
    rs256 => "auth jwt alg=RS256 key=$dir/rsa.pub clientid=off;",
    es256 => "auth jwt alg=ES256 key=$dir/ec.pub clientid=off;",
    rules => "auth jwt alg=HS256 key=$dir/secret; acl $dir/rules;",
    named => "auth jwt alg=HS256 key=$dir/secret username=sub;"
             . " acl $dir/rules;",
    many  => "auth jwt alg=RS256 key=$dir/rsa.pub clientid=off;"
             . " auth jwt alg=HS256 key=$dir/secret clientid=device"
             . ' username=user resources=may actions=how; auth anonymous;',
);

$t->write_file_expand('nginx.conf', conf(%gateways));
$t->run;

my %claims = (sub => 'dev', exp => time + 1000);
my %sign = (
    mqtt  => sub { Digest::SHA::hmac_sha256($_[0], $secret) },
    hs384 => sub { hmac_sha384($_[0], $secret) },
    rs256 => sub { sign_openssl('rsa', $_[0]) },
    es256 => sub { raw(sign_openssl('ec', $_[0])) },
);
my %alg = (mqtt => 'HS256', hs384 => 'HS384', rs256 => 'RS256',
           es256 => 'ES256');

for my $port (sort keys %sign) {
    my $make = sub {
        my ($claims, %args) = @_;

        return jwt('', $claims, alg => $alg{$port}, sign => $sign{$port},
                   %args);
    };

    my $is = sub {
        my ($reason, $name, $password, %args) = @_;

        is(reason($t, $port, client_id => 'dev', password => $password,
                  username => 'x', %args), $reason, "$alg{$port}: $name");
    };

    my $good = $make->(\%claims);

    $is->(0, 'accepted', $good);
    $is->(0, 'without a user name', $good, username => undef, version => 5);
    $is->(0x86, 'truncated', substr $good, 0, -3);
    $is->(0x86, 'a changed signature',
          $good =~ s/\.\K([^.])(?=[^.]*$)/$1 eq '_' ? '-' : '_'/er);
    $is->(0x86, 'a changed body', $good =~ s/\.\K..../abcd/r);
    $is->(0x86, 'no signature', $good =~ s/[^.]*$//r);
    $is->(0x86, 'alg none', $make->(\%claims, alg => 'none'));
    $is->(0x86, 'alg none without a signature',
          $make->(\%claims, alg => 'none', sign => sub { '' }));
    $is->(0x86, 'another HMAC with the same secret',
          $make->(\%claims, alg => 'HS512',
                  sign => sub { hmac_sha512($_[0], $secret) }));
    $is->(0x87, 'expired', $make->({ %claims, exp => time - 1 }));
    $is->(0x87, 'without an end', $make->({ sub => 'dev' }));
    $is->(0x87, 'an end that is no number',
          $make->({ %claims, exp => 'never' }));
    $is->(0x87, 'not valid yet', $make->({ %claims, nbf => time + 100 }));
    $is->(0, 'valid since', $make->({ %claims, nbf => time - 1 }));
    $is->(0x86, 'no token', 'secret');
    $is->(0x86, 'an empty password', '');
    $is->(0x86, 'a zero byte', "$good\0");

    # the public key as the secret of an HMAC

    my $pub = slurp("$dir/" . ($port eq 'es256' ? 'ec' : 'rsa') . '.pub');
    chomp(my $chomped = $pub);

    for my $key ($pub, $chomped) {
        $is->(0x86, 'the public key as a secret', jwt($key, \%claims));
    }
}

is(reason($t, 'mqtt', client_id => 'other', password =>
          jwt($secret, \%claims)), 0x87, 'a token of another client');
is(reason($t, 'mqtt', client_id => 'dev', password =>
          jwt($secret, { exp => time + 100 })), 0x87, 'a token of nobody');
is(reason($t, 'mqtt', client_id => 'dev', version => 4, username => 'u',
          password => jwt($secret, { %claims, exp => 1 })), 5, '3.1.1: 5');

###############################################################################
# several keys, other claims

my %many = (device => 'a', user => 'alice', exp => time + 1000,
            may => [ 'fleet/#', 'x' ], how => 'R,W');

my $token = jwt($secret, \%many);
my @a = (port => 'many', client_id => 'a');

my $c = $t->client(@a, password => $token);
is($c->publish_wait('fleet/1', 'x', qos => 1)->{reason}, 0x10, 'may publish');
is($c->publish_wait('other', 'x', qos => 1)->{reason}, 0x87, 'not elsewhere');
is_deeply($c->subscribe('fleet/+' => 0, '#' => 0)->{codes}, [ 0, 0x87 ],
          'subscriptions');
is($c->publish_wait('users/alice', 'x', qos => 1)->{reason}, 0x87,
   'no rule gives more');
$c->disconnect;

$c = $t->client(@a, password => jwt($secret, { %many, how => 'R' }));
is($c->publish_wait('fleet/1', 'x', qos => 1)->{reason}, 0x87,
   'reading is not writing');
$c->disconnect;

for my $case (
    [ 0, 'the same user name', username => 'alice' ],
    [ 0x87, 'another user name', username => 'bob' ],
    [ 0x86, 'a forged one is not anonymous', password => "${token}x" ],
    [ 0, 'no token is', password => 'x', username => 'bob' ],
    [ 0x87, 'no user', password => jwt($secret, { %many, user => undef }) ],
    [ 0x87, 'a user that is too long',
      password => jwt($secret, { %many, user => 'x' x 300 }) ],
    [ 0x87, 'resources that are no list',
      password => jwt($secret, { %many, may => '#' }) ],
    [ 0x87, 'no resources at all',
      password => jwt($secret, { %many, may => [] }) ],
    [ 0x87, 'an invalid filter',
      password => jwt($secret, { %many, may => [ '#/a' ] }) ],
    [ 0x87, 'unknown actions',
      password => jwt($secret, { %many, how => 'all' }) ],
    [ 0, 'the other key',
      password => jwt('', { exp => time + 100 }, alg => 'RS256',
                      sign => $sign{rs256}) ],
) {
    my ($reason, $name, %args) = @$case;

    is(reason($t, 'many', client_id => 'a', password => $token, %args),
       $reason, $name);
}

# a user name counts for rules only if the token has it

for my $case ([ 'rules', 0x87 ], [ 'named', 0x10 ]) {
    $c = $t->client(port => $case->[0], client_id => 'dev', username => 'dev',
                    password => jwt($secret, \%claims));
    is($c->publish_wait('users/dev', 'x', qos => 1)->{reason}, $case->[1],
       "the user name, $case->[0]");
    $c->disconnect;
}

###############################################################################
# the end

$c = $t->client(client_id => 'dev',
                password => jwt($secret, { sub => 'dev', exp => time + 3 }));
$c->expect_alive('before the end');
$c->{timeout} = 8;
$c->expect_disconnect(0x87, 'closed at the end');
ok($t->wait_log(qr/credentials of client have expired/), 'logged');
is($t->total('credentials_ended'), 1, 'counted');

unlike($t->error_log, qr/eyJ|ssss/, 'no token in the log');

###############################################################################
# nginx -t

for my $case (
    [ 'alg=HS256', 'method "jwt" needs "alg=" and "key="' ],
    [ "key=$dir/secret", 'method "jwt" needs "alg=" and "key="' ],
    [ "alg=none key=$dir/secret", 'unknown algorithm "none"' ],
    [ "alg=XX key=$dir/secret", 'unknown algorithm "XX"' ],
    [ "alg=HS256 key=$dir/short", 'no key for "HS256" in' ],
    [ "alg=RS256 key=$dir/secret", 'no key for "RS256" in' ],
    [ "alg=RS256 key=$dir/ec.pub", 'no key for "RS256" in' ],
    [ "alg=ES256 key=$dir/rsa.pub", 'no key for "ES256" in' ],
    [ "alg=RS256 key=$dir/rsa.key", 'no key for "RS256" in' ],
    [ 'alg=HS256 key=absent', 'open() "' ],
    [ "alg=HS256 key=$dir/secret x=y", 'invalid parameter "x=y"' ],
    [ "alg=HS256 key=$dir/secret clientid=", 'invalid parameter "clientid="' ],
) {
    my ($args, $message) = @$case;

    my ($output) = $t->nginx_t(conf(mqtt => "auth jwt $args;"));
    like($output, qr/\[emerg\] .*\Q$message\E.* in \S+:\d+$/m,
         'refused: ' . $args =~ s/\Q$dir\E//r);
}

done_testing();

###############################################################################

sub openssl {
    my ($args) = @_;

    system("openssl $args >> $dir/openssl.log 2>&1") == 0
        or die slurp("$dir/openssl.log");
}


sub sign_openssl {
    my ($key, $text) = @_;

    $t->write_file('text', $text);
    openssl("dgst -sha256 -sign $dir/$key.key -out $dir/text.sig $dir/text");

    return slurp("$dir/text.sig");
}


# r and s out of DER, 32 bytes each

sub raw {
    my ($der) = @_;

    my ($r, $s) = unpack 'x2 x C/a x C/a', $der;

    return join '', map { substr "\0" x 32 . $_, -32 } $r, $s;
}


sub conf {
    my (%gateways) = @_;

    my $text = join '', map { <<"END" } sort keys %gateways;
    mqtt_gateway $_ {
        zone 4m;
        redis %%REDIS%% prefix=$_:;
        $gateways{$_}
    }
    server { listen 127.0.0.1:%%PORT_$_%%; mqtt_pass $_; }
END

    return <<"END";
%%GLOBALS%%
worker_processes 1;
events { }
stream {
$text
}
http {
    %%HTTP_GLOBALS%%
    server {
        listen 127.0.0.1:%%PORT_http%%;
        location /mqtt { mqtt_status; }
    }
}
END
}

###############################################################################
