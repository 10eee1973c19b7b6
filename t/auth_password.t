#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Users and passwords from a file: every scheme, every refusal, the order of
# methods, and that slow hashes stop nobody but the one who has to be checked.

###############################################################################

use warnings;
use strict;

use Digest::SHA qw/ sha1 /;
use FindBin;
use lib "$FindBin::Bin/lib";
use MIME::Base64;
use MqttTest;
use Test::More;

###############################################################################

my $t = MqttTest->new;

chomp(my $apr1 = `openssl passwd -apr1 -salt 8sFt66rZ secret`);

my %hash = (
    plain  => '{PLAIN}secret',
    sha    => '{SHA}' . encode_base64(sha1('secret'), ''),
    ssha   => '{SSHA}' . encode_base64(sha1('secretsalt') . 'salt', ''),
    apr1   => $apr1,
    md5    => crypt('secret', '$1$salt$'),
    des    => crypt('secret', 'ab'),
    sha256 => crypt('secret', '$5$rounds=1000$salt$'),
    sha512 => crypt('secret', '$6$rounds=1000$salt$'),
    bcrypt => bcrypt('secret', 4),
);

my @schemes = sort keys %hash;

$t->write_file('users', join '', "# users\n", map { "$_:$hash{$_}\n" }
                                              @schemes);

# so slow that it can be seen: about a fifth of a second and more

my $slow = bcrypt('secret', 12);

$t->write_file('slow', join '', map { "slow$_:$slow\n" } 1 .. 40);

my $brief = bcrypt('secret', 8);

$t->write_file('brief', join '', map { "brief$_:$brief\n" } 1 .. 40);

my %gateway = (
    mqtt   => 'auth password users;',
    slow   => 'auth password slow;',
    brief  => 'auth password brief;',
    chain  => "auth password users; auth password slow; auth anonymous;",
    open   => 'auth anonymous;',
);

$t->write_file_expand('nginx.conf', conf(%gateway));
$t->run;

###############################################################################
# every scheme, in every version

for my $scheme (@schemes) {
    for my $version (3, 4, 5) {
        my $name = "$scheme, version $version";
        my @who = (version => $version, username => $scheme);

        is(reason('mqtt', @who, password => 'secret'), 0, "$name: accepted");
        is(reason('mqtt', @who, password => 'Secret'),
           $version == 5 ? 0x86 : 4, "$name: wrong password");
    }

    is(reason('mqtt', username => $scheme, password => ''), 0x86,
       "$scheme: empty password");
    is(reason('mqtt', username => $scheme), 0x86, "$scheme: no password");
    is(reason('mqtt', username => $scheme, password => "secret\0x"), 0x86,
       "$scheme: a zero byte ends no password");
    is(reason('mqtt', username => $scheme, password => 'x' x 65535), 0x86,
       "$scheme: a very long password");
}

###############################################################################
# who is not known

for my $version (4, 5) {
    my ($bad, $not_authorized) = $version == 5 ? (0x86, 0x87) : (4, 5);
    my @v = (version => $version);

    is(reason('mqtt', @v), $not_authorized, "$version: no user name");
    is(reason('mqtt', @v, username => 'nobody', password => 'secret'), $bad,
       "$version: unknown user");
    is(reason('mqtt', @v, username => '', password => 'secret'), $bad,
       "$version: empty user name");
    is(reason('mqtt', @v, username => 'sha:', password => 'secret'), $bad,
       "$version: user name with a colon");
    is(reason('mqtt', @v, username => 'SHA', password => 'secret'), $bad,
       "$version: user names are case-sensitive");
}

cmp_ok($t->total('auth_failures'), '>', 0, 'refusals are counted');

###############################################################################
# the first method that knows the user decides

is(reason('chain', username => 'sha', password => 'secret'), 0,
   'known to the first file');
is(reason('chain', username => 'sha', password => 'wrong'), 0x86,
   'the first file refuses');
is(reason('chain', username => 'slow40', password => 'secret'), 0,
   'known to the second file');
is(reason('chain', username => 'slow40', password => 'wrong'), 0x86,
   'the second file refuses');
is(reason('chain', username => 'nobody', password => 'x'), 0,
   'who is in no file is anonymous');
is(reason('chain'), 0, 'who has no user name is anonymous');
is(reason('open', username => 'sha', password => 'wrong'), 0,
   'alone, anonymous accepts everybody');

###############################################################################
# slow hashes

my %who = (username => 'slow1', password => 'secret');

is(reason('slow', %who), 0, 'a slow hash');
is(reason('slow', %who), 0, 'remembered');
is(reason('slow', %who, password => 'wrong'), 0x86, 'a wrong password');
is(reason('slow', %who, username => 'nobody'), 0x86, 'an unknown user');
is(reason('slow', %who, username => 'slow2', password => 'wrong'), 0x86,
   'what is remembered is the user, too');

# another client is served meanwhile

my $c = $t->client(port => 'open');
my $waiting = $t->socket(port => 'slow');

$waiting->send('CONNECT', client_id => 'waiting', username => 'slow3',
               password => 'secret');

$c->expect_alive('a check stops nobody else');
$waiting->expect('CONNACK', reason => 0);

# clients that do not wait for the answer, more than may wait

my @many = map { $t->socket(port => 'slow', version => 5) } 1 .. 600;

for my $n (0 .. $#many) {
    $many[$n]->queue('CONNECT', client_id => "many$n",
                     username => 'slow' . (4 + $n % 36), password => 'wrong');
}

my %reasons;

MqttTest::Client->pump(\@many, timeout => 10,
    until => sub { ($reasons{0x89} || 0) >= 10 },
    on_packet => sub { $reasons{$_[1]{reason}}++ });

cmp_ok($reasons{0x89} || 0, '>', 0, 'too many at once: server busy');
is(join(' ', grep { $_ != 0x86 && $_ != 0x89 } keys %reasons), '',
   'and no other answer');

$_->close for @many;

is(reason('slow', username => 'slow1', password => 'secret'), 0,
   'who is remembered does not wait behind them');
ok(wait_for {
       reason('slow', username => 'slow2', password => 'secret') eq '0' },
   'the others are forgotten');

###############################################################################
# reload

$t->write_file('users', "sha:{PLAIN}changed\n");
ok($t->reload, 'reload');

# the old worker may accept a little longer

ok(wait_for {
       reason('mqtt', username => 'sha', password => 'secret') eq 0x86 },
   'the old password is refused');
ok(wait_for {
       reason('mqtt', username => 'sha', password => 'changed') eq 0 },
   'the new one is accepted');

$t->allow_log(qr/no colon in/);
$t->write_file('users', "broken\n");
ok(!$t->reload, 'a broken file is refused');
is(reason('mqtt', username => 'sha', password => 'changed'), 0,
   'the one before still counts');

unlike($t->error_log, qr/secret|wrong|changed/, 'no password in the log');

###############################################################################
# the end of the worker while checks run and wait

@many = map { $t->socket(port => 'brief') } 1 .. 40;

for my $n (0 .. $#many) {
    $many[$n]->send('CONNECT', client_id => "end$n",
                    username => 'brief' . (1 + $n), password => 'secret');
}

ok(wait_for { $t->total('clients') > 0 }, 'the first check is over');
ok($t->stop_fast, 'a fast stop in the midst of checks');

done_testing();

###############################################################################

sub bcrypt {
    my ($password, $cost) = @_;

    return crypt($password, sprintf('$2y$%02d$', $cost)
                            . 'abcdefghijklmnopqrstuu');
}


# the reason code of CONNACK

sub reason {
    my ($port, %args) = @_;

    my $c = $t->socket(port => $port, version => delete $args{version} // 5);
    my $connack = $c->connect(client_id => 'auth', %args);

    $c->close;

    return $connack ? $connack->{reason} : 'closed';
}


sub conf {
    my (%gateways) = @_;

    my $gateways = join '', map { <<"END" } sort keys %gateways;
    mqtt_gateway $_ {
        zone 4m;
        redis %%REDIS%% prefix=$_:;
        $gateways{$_}
    }
    server {
        listen 127.0.0.1:%%PORT_$_%%;
        mqtt_pass $_;
    }
END

    return <<"END";
%%GLOBALS%%
worker_processes 1;
worker_rlimit_nofile 8192;
events { worker_connections 4096; }
stream {
$gateways
}
http {
    %%HTTP_GLOBALS%%
    server {
        listen 127.0.0.1:%%PORT_http%%;
        location /mqtt {
            mqtt_status;
        }
    }
}
END
}

###############################################################################
