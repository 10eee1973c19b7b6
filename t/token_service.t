#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# The token service: applying, querying, revoking, and whether a client is
# connected; what is refused, with the codes of the contract.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MIME::Base64 qw/ decode_base64 /;
use MqttTest;
use MqttTest::Auth qw/ sign signature jwt post get apply reason /;
use Test::More;

###############################################################################

my $t = MqttTest->new;
my $secret = 's' x 32;

$t->write_file('keys', <<'END');
YYYYY   XXXXX    mqtt-xxxxx
LIMIT   limited  mqtt-xxxxx   RW:fleet/# R:news/+
END

$t->write_file('token', "# the first one signs\n$secret\n");

my $conf = $t->conf(
    gateway => "auth signature %%TESTDIR%%/keys;\n"
               . 'auth token %%TESTDIR%%/token;');

$conf =~ s{location /mqtt \{}{location /token/ { mqtt_token test; }
        location /route/ { mqtt_token test; }
        location /api/v1/ { mqtt_token test; }
        $&};

$t->write_file_expand('nginx.conf', $conf);
$t->run;

my @key = ('YYYYY', 'XXXXX', 'mqtt-xxxxx');

###############################################################################
# apply

my $r = apply($t, @key, resources => 'Topic2/#,Topic1/+');
my $token = $r->{tokenData};

is($r->{code}, 200, 'applied');
ok($r->{success}, 'success');
like($token, qr/^[\w-]+\.[\w-]+\.[\w-]+$/, 'a token');

my $claims = claims($token);

is_deeply($claims->{res}, [ 'Topic2/#', 'Topic1/+' ], 'its resources');
is($claims->{act}, 'RW', 'its actions');
is($claims->{ak}, 'YYYYY', 'its access key');
like($claims->{jti}, qr/^[0-9a-f]{32}$/, 'its id');
isnt(claims(apply($t, @key)->{tokenData})->{jti}, $claims->{jti},
     'each has another one');

is(apply($t, @key, uri => '/api/v1/token/apply')->{code}, 200,
   'behind another prefix');

my $month = claims(apply($t, @key, expireTime => (time + 90 * 86400) * 1000)
                   ->{tokenData})->{exp};

cmp_ok(abs($month - time - 30 * 86400), '<', 10, 'thirty days at most');

my $now = time;
my %far = (expireTime => ($now + 600) * 1000);

for my $case (
    [ 407, 'a wrong signature', signature => sign('XXXXY', 'x') ],
    [ 407, 'a truncated signature', signature => 'abc' ],
    [ 407, 'an unknown key', accessKey => 'ZZZZZ' ],
    [ 407, 'the key of another', accessKey => 'LIMIT' ],
    [ 400, 'no signature', signature => '' ],
    [ 400, 'no key', accessKey => '' ],
    [ 400, 'no resources', resources => '' ],
    [ 400, 'no actions', actions => '' ],
    [ 400, 'other actions', actions => 'X' ],
    [ 400, 'other actions', actions => 'R,W,R' ],
    [ 400, 'too short a time', expireTime => ($now + 50) * 1000 ],
    [ 400, 'a time in the past', expireTime => 1568361600000 ],
    [ 400, 'no number', expireTime => 'soon' ],
    [ 400, 'a negative number', expireTime => -1 ],
    [ 400, 'a number too large', expireTime => '9' x 30 ],
    [ 400, 'another proxy', proxyType => 'HTTP' ],
    [ 400, 'another service', serviceName => 'mqtt' ],
    [ 400, 'invalid filters', resources => 'a/#/b' ],
    [ 400, 'an empty filter', resources => 'a,,b' ],
    [ 400, 'invalid UTF-8', resources => "a/\xff" ],
    [ 400, 'a zero byte', resources => "a\0b" ],
    [ 400, 'too many resources',
      resources => join(',', map { "t/$_" } 1 .. 101) ],
    [ 400, 'very many resources', resources => ',' x 4000 ],
    [ 409, 'another instance', instanceId => 'mqtt-1' ],
) {
    my ($code, $name, %p) = @$case;

    is(apply($t, @key, %far, %p)->{code}, $code, "$name: $code");
}

is(apply($t, @key, resources => join(',', map { "t/$_" } 1 .. 100))->{code},
   200, 'a hundred resources');

# a key gives away what it has

my @limit = ('LIMIT', 'limited', 'mqtt-xxxxx');

is(apply($t, @limit, resources => 'fleet/a/+')->{code}, 200, 'a part');
is(apply($t, @limit, resources => 'news/x', actions => 'R')->{code}, 200,
   'to read');
is(apply($t, @limit, resources => 'news/x', actions => 'W')->{code}, 409,
   'not to write');
is(apply($t, @limit, resources => 'news/x')->{code}, 409, 'nor both');
is(apply($t, @limit, resources => '#')->{code}, 409, 'nothing more');
is(apply($t, @limit, resources => 'fleet/a,other')->{code}, 409,
   'nothing more beside');

# requests that are none

is(get($t, '/token/apply')->{code}, 'HTTP 405', 'GET');
is(post($t, '/token/nothing')->{code}, 'HTTP 404', 'an unknown call');
is(post($t, '/token/apply', junk => 'x' x 100_000)->{code}, 400,
   'a body too large');
is(post($t, '/token/apply?signature=x')->{code}, 400, 'no body');

###############################################################################
# query, revoke

sub call {
    my ($what, $token, %p) = @_;

    return post($t, "/token/$what", token => $token, accessKey => 'YYYYY',
                signature => sign('XXXXX', "token=$token"), %p);
}

$r = call(query => $token);
is($r->{code}, 200, 'query');
ok($r->{tokenData}, 'valid');

my $stolen = apply($t, @limit, resources => 'fleet/a')->{tokenData};

for my $what (qw/ query revoke /) {
    is(call($what => $token, signature => sign('x', "token=$token"))->{code},
       407, "$what: a wrong signature");
    is(call($what => $token, signature => sign('XXXXX', 'token=x'))->{code},
       407, "$what: the signature of another token");
    is(call($what => $stolen)->{code}, 409, "$what: a token of another key");
    is(call($what => substr $token, 0, -1)->{code}, 410,
       "$what: a truncated token");
    is(call($what => 'x')->{code}, 410, "$what: no token");
    is(call($what => jwt($secret, { %$claims, exp => time - 1 }))->{code},
       410, "$what: an expired token");
    is(call($what => jwt('x' x 32, $claims))->{code}, 410,
       "$what: a forged token");
    is(call($what => '')->{code}, 400, "$what: none");
}

my @connect = (client_id => 'a', username => 'Token|YYYYY|mqtt-xxxxx',
               password => "RW|$token");

is(reason($t, 'mqtt', @connect), 0, 'the token serves');
is(call(revoke => $token)->{code}, 200, 'revoked');
is(call(revoke => $token)->{code}, 200, 'and again');
is(call(query => $token)->{code}, 410, 'query: revoked');
is(reason($t, 'mqtt', @connect), 0x87, 'it serves no longer');

my ($key) = $t->redis->keys('test:{k}r');
is($key, 'test:{k}r', 'the list in Redis');
cmp_ok($t->redis->command('ZSCORE', 'test:{k}x', $claims->{jti}), '==',
       $claims->{exp}, 'with the time of its end');

# what has expired long since is forgotten by the next one

$t->redis->command('ZADD', 'test:{k}r', 1, 'old');
$t->redis->command('ZADD', 'test:{k}x', time - 100, 'old');
call(revoke => apply($t, @key)->{tokenData});
is($t->redis->command('ZCARD', 'test:{k}r'), 2, 'forgotten when expired');
is($t->redis->command('ZCARD', 'test:{k}x'), 2, 'from both');

###############################################################################
# who is connected

sub online {
    my ($id, %p) = @_;

    my %sign = (accessKey => 'YYYYY', instanceId => 'mqtt-xxxxx',
                resource => $id, timestamp => time() * 1000, %p);
    my $text = join '&', map { "$_=$sign{$_}" } sort keys %sign;

    return get($t, '/route/clientId/get', signature => sign('XXXXX', $text),
               %sign);
}

my $c = $t->client(signature('GID_Test@@@0001', 'YYYYY', 'XXXXX',
                             'mqtt-xxxxx'));

$r = online('GID_Test@@@0001');
is($r->{code}, 200, 'asked for a client');
ok($r->{online}, 'it is connected');
$c->disconnect;
ok(wait_for { !online('GID_Test@@@0001')->{online} }, 'not any more');
is(online('never')->{code}, 200, 'one that never was');
is(online('x', timestamp => (time - 3600) * 1000)->{code}, 400,
   'a request of long ago is not answered');
is(get($t, '/route/clientId/get', accessKey => 'YYYYY', resource => 'a',
       instanceId => 'mqtt-xxxxx', timestamp => time() * 1000,
       signature => sign('x', 'x'))->{code}, 407, 'a wrong signature');
is(post($t, '/route/clientId/get')->{code}, 'HTTP 405', 'POST');

###############################################################################
# without Redis

$t->allow_log(qr/Redis/);
$t->redis->kill;
ok(wait_for { $t->total('redis_up') == 0 }, 'Redis is away');

is(call(query => $token)->{code}, 503, 'query');
is(call(revoke => $token)->{code}, 503, 'revoke');
is(online('a')->{code}, 503, 'route');
is(apply($t, @key)->{code}, 200, 'apply needs none');
is(reason($t, 'mqtt', @connect), 0x88, 'CONNECT');

unlike($t->error_log, qr/XXXXX|limited|\Q$secret\E|\Q$token\E/,
       'no secret and no token in the log');

done_testing();

###############################################################################

sub claims {
    my ($token) = @_;

    my ($text) = $token =~ /\.([\w-]+)\./;

    return JSON::PP::decode_json(decode_base64($text =~ tr{-_}{+/}r));
}

###############################################################################
