#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Will Delay Interval (3.1.3.2.2): never early, at most a second late, at the
# latest with the end of the session; also of many clients at once, and when
# Redis was away meanwhile.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Util qw/ slow /;
use Test::More tests => 20;

###############################################################################

use constant MANY => 500;

my $t = MqttTest->new;

$t->write_conf(workers => 2);
$t->run;

my $subscriber = $t->client;
$subscriber->subscribe('will/#' => 2);

# [ name, session expiry, delay, how it ends, published after ]

my @cases = (
    [ 'delay before the end of the session', 100, 2, \&lose, 2 ],
    [ 'end of the session before the delay', 1, 100, \&lose, 1 ],
    [ 'both at once', 1, 1, \&lose, 1 ],
    [ 'a session without an end', 0xffffffff, 1, \&lose, 1 ],
    [ 'no session', 0, 100, \&lose, 0 ],
    [ 'DISCONNECT with 0x04', 100, 1, sub { $_[0]->disconnect(reason => 4) },
      1 ],
    [ 'DISCONNECT ends the session', 100, 100,
      sub { $_[0]->disconnect(reason => 4,
                              props => [ [ session_expiry => 0 ] ]) }, 0 ],
    [ 'DISCONNECT shortens the session', 100, 100,
      sub { $_[0]->disconnect(reason => 4,
                              props => [ [ session_expiry => 1 ] ]) }, 1 ],
);

my @clients = map {
    my ($name, $expiry, $delay) = @$_;

    $t->client(client_id => $name, clean => 0,
               props => [ [ session_expiry => $expiry ] ],
               will => { topic => 'will/case', payload => $name, qos => 1,
                         props => [ [ will_delay => $delay ] ] });
} @cases;

my $begin = now();

$cases[$_][3]->($clients[$_]) for 0 .. $#cases;

my (%after, %count);

for (@cases) {
    my $m = $subscriber->recv_message or last;

    $after{$m->{payload}} = now() - $begin;
    $count{$m->{payload}}++;
}

for my $case (@cases) {
    my ($name, $expiry, $delay, undef, $expected) = @$case;
    my $after = $after{$name} // -1;

    # the clocks differ by what a command takes

    ok($after >= $expected - 0.02 && $after <= $expected + slow(1.0),
       "$name: $expected s") or diag("after $after s");
}

is_deeply([ grep { $_ != 1 } values %count ], [], 'each once');

# sessions that live on

is(session_of('delay before the end of the session')->{o}, '',
   'a session is there without its will');
is(session_of('end of the session before the delay')->{o}, undef,
   'one that has ended is not');

# many at once

@clients = map {
    $t->client(client_id => "many-$_", clean => 0,
               props => [ [ session_expiry => 100 ] ],
               will => { topic => "will/$_", payload => $_, qos => 1,
                         props => [ [ will_delay => 1 ] ] });
} 1 .. MANY;

$_->close for @clients;
$begin = now();

%count = ();

while (keys %count < MANY) {
    my $m = $subscriber->recv_message or last;
    $count{$m->{payload}}++;
}

is(keys %count, MANY, 'the wills of ' . MANY . ' clients');
is_deeply([ grep { $_ != 1 } values %count ], [], 'each once');
cmp_ok(now() - $begin, '<', slow(2.5), 'in time');

ok(wait_for { $t->redis->command('ZCARD', 'test:{x}s') == MANY + 3 },
   'the sessions are due later');
is($subscriber->recv_message(0.2), undef, 'nothing more');
ok(wait_for { !lists() }, 'no worker has them in its list');

# Redis is away when it is due

my $c = $t->client(client_id => 'away', clean => 0,
                   props => [ [ session_expiry => 100 ] ],
                   will => { topic => 'will/away', payload => 'away', qos => 1,
                             props => [ [ will_delay => 1 ] ] });
$c->close;
ok(wait_for { session_of('away')->{d} }, 'a will waits');

$t->redis->pause;
is($subscriber->recv_message(2), undef, 'Redis hangs, it waits longer');
$t->redis->resume;

my $m = $subscriber->recv_message;
is($m && $m->{payload}, 'away', 'and is published then');

###############################################################################

sub lose { return $_[0]->close }


sub session_of {
    my ($id) = @_;

    return { @{ $t->redis->command('HGETALL', "test:{c:$id}") } };
}


# who stands in a list without being connected

sub lists {
    return grep { $_ ne $subscriber->client_id }
           map { @{ $t->redis->command('SMEMBERS', $_) } }
           $t->redis->keys('*{w:*');
}

###############################################################################
