#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Clients with tokens: right, wrong, expired and revoked ones at CONNECT, what
# they allow, renewal on the live connection, notices, the end of a token in
# every worker and on another node.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP qw/ decode_json encode_json /;
use MqttTest;
use MqttTest::Auth qw/ sign signature jwt post apply reason /;
use Test::More;

###############################################################################

my $t = MqttTest->new;
my $node2 = MqttTest->new(redis => $t->redis);
my $secret = 'new' . 's' x 32;
my $old = 'old' . 's' x 32;

for my $node ($t, $node2) {
    $node->write_file('keys', "AK XXXXX ins\nAK2 YYYYY ins\n");
    $node->write_file('token', "$secret\n$old\n");

    my $conf = $node->conf(
        workers => $node == $t ? 3 : 1,
        gateway => "auth signature %%TESTDIR%%/keys;\n"
                   . 'auth token %%TESTDIR%%/token;');

    $conf =~ s{location /mqtt \{}{location /token/ { mqtt_token test; }
        $&};
    $conf =~ s/(listen \S+PORT_mqtt\S+)(?=;)/$1 reuseport/;

    $node->write_file_expand('nginx.conf', $conf);
    $node->run;
}

my $n = 0;
my @auth = (client_id => 'GID@@@1', username => 'Token|AK|ins');

###############################################################################
# CONNECT

my $r = token(act => 'R', res => [ 'down/#' ]);
my $w = token(act => 'W', res => [ 'up/+', 'both' ]);
my $rw = token(act => 'RW', res => [ 'both' ]);

my %claims = (jti => 'a' x 32, aud => 'test', ak => 'AK', ins => 'ins',
              act => 'R', res => [ 'a' ], exp => time + 1000);

sub without { my %c = %claims; delete $c{$_[0]}; return jwt($secret, \%c) }

for my $version (4, 5) {
    my ($bad, $not) = $version == 5 ? (0x86, 0x87) : (4, 5);

    my $is = sub {
        my ($reason, $name, $password, %args) = @_;

        is(reason($t, 'mqtt', @auth, password => $password,
                  version => $version, %args), $reason, "$version: $name");
    };

    $is->(0, 'one token', "R|$r");
    $is->(0, 'two', "R|$r|W|$w");
    $is->(0, 'in another order', "W|$w|R|$r");
    $is->(0, 'three', "RW|$rw|R|$r|W|$w");
    $is->(0, 'a part of what it may', "W|$rw");
    $is->(0, 'the same twice', "R|$rw|W|$rw");
    $is->(0, 'signed with the second secret', 'R|' . jwt($old, \%claims));

    $is->($not, 'an action that it has not', "W|$r");
    $is->($not, 'nor both', "RW|$w");
    $is->($bad, 'a type twice', "R|$r|R|$rw");
    $is->($bad, 'a comma in the type', "R,W|$rw");
    $is->($bad, 'no type', $r);
    $is->($bad, 'an unknown type', "X|$r");
    $is->($bad, 'a type without a token', "R|$r|W");
    $is->($bad, 'an empty token', 'R|');
    $is->($bad, 'an empty password', '');
    $is->($bad, 'no password', undef);
    $is->($bad, 'one bad token of two', "R|$r|W|" . substr($w, 0, -2));
    $is->($bad, 'a truncated token', 'R|' . substr $r, 0, 40);
    $is->($bad, 'a zero byte behind', "R|$r\0");
    $is->($bad, 'spaces', "R| $r");
    $is->($bad, 'a fourth', "R|$r|W|$w|RW|$rw|R|$r");

    $is->($not, 'another access key', "R|$r", username => 'Token|AK2|ins');
    $is->($not, 'another instance', "R|$r", username => 'Token|AK|other');
    $is->($bad, 'another mode', "R|$r", username => 'Signature|AK|ins');
    $is->($not, 'an expired one', 'R|' . token(exp => time - 1));
    $is->($not, 'of a key that is gone', 'R|' . token(ak => 'AK9'),
          username => 'Token|AK9|ins');

    # forgeries

    $is->($bad, 'another secret', 'R|' . jwt('x' x 32, \%claims));
    $is->($bad, 'alg none', 'R|' . jwt($secret, \%claims, alg => 'none',
                                       sign => sub { '' }));
    $is->($bad, 'no algorithm', 'R|' . jwt($secret, \%claims, alg => ''));
    $is->($bad, 'another HMAC', 'R|' . jwt($secret, \%claims, alg => 'HS512',
          sign => sub { Digest::SHA::hmac_sha512($_[0], $secret) }));
    $is->($bad, 'a changed body', 'R|' . (jwt($secret, \%claims)
                                          =~ s/\.\K(.{10})./$1A/r));
    $is->($bad, 'of another gateway',
          'R|' . jwt($secret, { %claims, aud => 'other' }));
    $is->($bad, "without $_", 'R|' . without($_))
        for qw/ jti aud ak ins exp act res /;
    $is->($bad, 'resources that are no filters',
          'R|' . jwt($secret, { %claims, res => [ 'a/#/b' ] }));
    $is->($bad, 'resources that are no list',
          'R|' . jwt($secret, { %claims, res => '#' }));
    $is->($bad, 'a body that is no JSON',
          'R|' . jwt($secret, '{"jti":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"'));
}

###############################################################################
# what they allow

my $c = $t->client(@auth, password => "R|$r|W|$w|RW|$rw");

is_deeply([ map { $c->publish_wait($_, 'x', qos => 1)->{reason} }
            'up/a', 'both', 'down/a', 'up/a/b' ],
          [ 0x10, 0x10, 0x87, 0x87 ], 'publish');
is_deeply($c->subscribe('down/a' => 0, 'down/#' => 0, 'both' => 0,
                        'up/a' => 0, '#' => 0)->{codes},
          [ 0, 0, 0, 0x87, 0x87 ], 'subscribe');
$c->disconnect;

for my $case ([ "R|$r", 5, 'R' ], [ "W|$w", 4, 'W' ],
              [ "R|$r|W|$w", 4, 'W' ]) {
    my ($password, $code, $type) = @$case;

    $c = $t->client(@auth, password => $password, version => 4);
    $c->publish('elsewhere', 'x', qos => 1);
    invalid($c, $code, $type, "3.1.1: a publish, $type");
}

###############################################################################
# renewal

$c = $t->client(@auth, password => "R|$r|W|$w");

$c->publish('$SYS/enableOrderMsg', '{"order":"true"}', qos => 1,
            packet_id => 7);
$c->expect(PUBACK => packet_id => 7, reason => 0);

is($c->publish_wait('more/a', 'x', qos => 1)->{reason}, 0x87, 'not yet');

upload($c, token(act => 'W', res => [ 'more/#' ]), 'W', 8);
$c->expect(PUBACK => packet_id => 8, reason => 0);

is($c->publish_wait('more/a', 'x', qos => 1)->{reason}, 0x10,
   'the new token counts');
is($c->publish_wait('up/a', 'x', qos => 1)->{reason}, 0x87,
   'in place of the old one');
is_deeply($c->subscribe('down/a' => 0)->{codes}, [ 0 ],
          'and not of the other type');

upload($c, token(act => 'RW', res => [ 'third' ]), 'RW', 9, 2);
$c->expect(PUBREC => packet_id => 9, reason => 0);
$c->send(PUBREL => packet_id => 9);
$c->expect(PUBCOMP => packet_id => 9, reason => 0);
is($c->publish_wait('third', 'x', qos => 1)->{reason}, 0x10, 'a third one');

upload($c, token(act => 'RW', res => [ 'fourth' ]), 'RW', undef, 0);
ok(wait_for { $c->publish_wait('fourth', 'x', qos => 1)->{reason} == 0x10 },
   'with QoS 0');

# acknowledgements stay in order behind it

upload($c, token(act => 'W', res => [ 'more/#' ]), 'W', 10);
$c->publish('more/b', 'x', qos => 1, packet_id => 11);
$c->expect(PUBACK => packet_id => 10);
$c->expect(PUBACK => packet_id => 11);
$c->disconnect;

my @wrong = (
    [ 1, '', 'no JSON', '{' ],
    [ 1, '', 'no token', '{"type":"R"}' ],
    [ 1, '', 'an empty object', '{}' ],
    [ 1, '', 'an array', '[1]' ],
    [ 1, '', 'an empty payload', '' ],
    [ 1, '', 'an unknown type', encode_json({ type => 'X', token => $r }) ],
    [ 1, 'R', 'no token', encode_json({ type => 'R', token => 'x' }) ],
    [ 8, 'R', 'a forged one',
      encode_json({ type => 'R', token => jwt('x' x 32, \%claims) }) ],
    [ 2, 'R', 'an expired one',
      encode_json({ type => 'R', token => token(exp => time - 5) }) ],
    [ 5, 'W', 'another action', encode_json({ type => 'W', token => $r }) ],
    [ -1, 'R', 'of another key',
      encode_json({ type => 'R', token => token(ak => 'AK2') }) ],
);

for my $case (@wrong) {
    my ($code, $type, $name, $payload) = @$case;

    $c = $t->client(@auth, password => "R|$r");
    $c->publish('$SYS/uploadToken', $payload, qos => 1);
    invalid($c, $code, $type, "upload: $name");
}

# a flood of them

$c = $t->client(@auth, password => "R|$r", client_id => 'flood');
$t->redis->pause;
upload($c, $r, 'R', $_) for 1 .. 17;
$c->expect_disconnect(0x97, 'too many uploads at a time');
$t->redis->resume;

# who has no token cannot upload one, and nobody sees what is uploaded

my $spy = $t->client(signature('spy', 'AK', 'XXXXX', 'ins'));
is_deeply($spy->subscribe('$SYS/uploadToken' => 0, '$SYS/#' => 0,
                          '#' => 0)->{codes}, [ 0, 0, 0 ], 'a spy');

for my $topic ('uploadToken', 'tokenExpireNotice', 'tokenInvalidNotice') {
    my $x = $t->client(signature('x', 'AK', 'XXXXX', 'ins'));

    is($x->publish_wait("\$SYS/$topic", '{}', qos => 1)->{reason}, 0x87,
       "$topic is not for everybody");
    $x->disconnect;

    $x = $t->client(signature('x', 'AK', 'XXXXX', 'ins'), version => 4);
    $x->publish("\$SYS/$topic", '{}', qos => 0);
    $x->expect_close('3.1.1: closed');
}

for my $topic ('uploadToken', 'tokenExpireNotice', 'tokenInvalidNotice',
               'enableOrderMsg') {
    is(reason($t, 'mqtt', signature('x', 'AK', 'XXXXX', 'ins'),
              will => { topic => "\$SYS/$topic", payload => '{}' }), 0x87,
       "nor is $topic for wills");
}

$c = $t->client(@auth, password => "R|$r");
upload($c, $r, 'R', 5);
$c->expect(PUBACK => packet_id => 5);
$c->disconnect;
$spy->expect_alive('the spy has got nothing');

###############################################################################
# the end of a token; the clock has seconds

my @ending = map { $_->client(client_id => 'e' . $n++,
                              username => 'Token|AK|ins',
                              password => 'R|' . token(exp => time + 3)
                                          . "|W|$w") } ($t) x 6, $node2;
my $start = now();

for my $c (@ending) {
    my $notice = $c->recv_message(5) // {};
    is($notice->{topic}, '$SYS/tokenExpireNotice', 'expires soon');

    my $json = decode_json($notice->{payload} || '{}');
    is($json->{type}, 'R', 'which one');
    cmp_ok(abs($json->{expireTime} - (time + 3) * 1000), '<', 3000, 'when');
}

invalid($_, 2, 'R', 'expired') for @ending;
cmp_ok(now() - $start, '>', 1.5, 'not early');
cmp_ok(now() - $start, '<', 6, 'nor late');

# renewed in time

$c = $t->client(@auth, password => 'R|' . token(exp => time + 3));
upload($c, $r, 'R', 1);
$c->expect(PUBACK => packet_id => 1);
ok(!$c->recv(4.5), 'no notice and no end after a renewal');
$c->expect_alive('still there');
$c->disconnect;

###############################################################################
# revocation

my $shared = token(act => 'RW', res => [ '#' ]);
my @clients = map { $_->client(client_id => 's' . $n++,
                               username => 'Token|AK|ins',
                               password => "RW|$shared") } ($t) x 12, $node2;
my $other = $t->client(@auth, password => "R|$r");

ok(wait_for { (grep { $_->{counters}{clients} }
               @{ $t->status->{gateways}{test}{workers} }) > 1 },
   'clients in several workers');

$start = now();
is(post($t, '/token/revoke', token => $shared, accessKey => 'AK',
        signature => sign('XXXXX', "token=$shared"))->{code}, 200,
   'revoked');

invalid($_, 3, 'RW', 'revoked') for @clients[0 .. 11];
cmp_ok(now() - $start, '<', 1, 'at once on this node');
invalid($clients[12], 3, 'RW', 'revoked on another node');
cmp_ok(now() - $start, '<', 4, 'soon on the other');
$other->expect_alive('another token is not concerned');

# several times: not by chance sooner than they would have asked

$start = now();

for my $round (1 .. 5) {
    my $one = token(act => 'RW', res => [ '#' ]);
    my @all = map { $t->client(client_id => "r$round-$_",
                               username => 'Token|AK|ins',
                               password => "RW|$one") } 1 .. 8;

    post($t, '/token/revoke', token => $one, accessKey => 'AK',
         signature => sign('XXXXX', "token=$one"));
    is(scalar(grep { ($_->recv_message(5) || {})->{topic} } @all), 8,
       'revoked in all workers');
    $_->close for @all;
}

cmp_ok(now() - $start, '<', MqttTest::Util::slow(1.8),
       'without waiting for Redis to be asked');

is(reason($_, 'mqtt', @auth, password => "RW|$shared"), 0x87,
   'it does not serve again') for $t, $node2;

upload($other, $shared, 'RW', 1);
invalid($other, 3, 'RW', 'nor by an upload');

cmp_ok($t->total('credentials_ended'), '==', 6 + 12 + 5 * 8, 'counted');

###############################################################################
# clients that leave while Redis is asked

$t->redis->pause;

@clients = map { my $s = $t->socket; $s->send(CONNECT => @auth,
                                              password => "R|$r"); $s }
           1 .. 9;
my $uploader = shift @clients;
$_->close for @clients;

$t->redis->resume;
$uploader->close;

$c = $t->client(@auth, password => "R|$r", client_id => 'leaver');
$t->redis->pause;
upload($c, $r, 'R', $_) for 1 .. 3;
$c->close;
$c = $t->socket;
$t->redis->resume;

unlike($_->error_log, qr/XXXXX|YYYYY|\Q$secret\E|eyJ/,
       'no secret and no token in the log') for $t, $node2;

$_->close for $spy, $c;

done_testing();

###############################################################################

sub token {
    my (%c) = @_;

    return jwt($secret, { jti => sprintf('%032x', ++$n), aud => 'test',
                          ak => 'AK', ins => 'ins', act => 'R',
                          res => [ '#' ], exp => time + 1000, %c });
}


sub upload {
    my ($c, $token, $type, $id, $qos) = @_;

    $c->publish('$SYS/uploadToken',
                encode_json({ token => $token, type => $type }),
                qos => $qos // 1, packet_id => $id);
}


sub invalid {
    my ($c, $code, $type, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $notice = $c->recv_message(5) // {};

    is($notice->{topic}, '$SYS/tokenInvalidNotice', "$name: notice");
    is_deeply(decode_json($notice->{payload} || '{}'),
              { code => $code, type => $type }, "$name: code $code");
    $c->expect_disconnect(0x87, "$name: closed");
}

###############################################################################
