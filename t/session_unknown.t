#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# An UNSUBSCRIBE of which the log knows, but not the session, as that was
# claimed in between: what was in flight is not what a new log has under the
# same numbers.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More tests => 6;

###############################################################################

my $t = MqttTest->new;

$t->write_conf;
$t->run;

my $redis = $t->redis;
my $publisher = $t->client;
my @session = (client_id => 'device', version => 5, clean => 0,
               props => [ [ session_expiry => 100 ] ]);

my $c = $t->client(@session, auto_ack => 0);
$c->subscribe('q' => 2, 'r' => 1);
publish($_) for 1 .. 3;

my %old = map { $_->{packet_id} => $_->{qos} } messages($c, 6);
is(keys %old, 6, 'in flight');
$c->disconnect;

ok(wait_for { $redis->command('HGET', 'test:{c:device}', 'o') eq '' }, 'away');
$redis->command('DEL', $_) for $redis->keys('test:{f:[qr]}*');

# those of QoS 2 are released: the client may have them

$c = $t->client(@session);

my %released;

for (1 .. 3) {
    my $p = $c->recv(5) or last;

    $released{ $p->{packet_id} } = 2 if $p->{type} eq 'PUBREL';
    $c->send(PUBCOMP => packet_id => $p->{packet_id});
}

is_deeply(\%released, { map { $_ => 2 } grep { $old{$_} == 2 } keys %old },
          'what may have come is released');

publish($_) for 4 .. 6;

my @new = messages($c, 6);

is(join(' ', sort map { $_->{payload} } @new), '4 4 5 5 6 6', 'what is new');
is(grep({ $_->{dup} } @new), 0, 'comes as new');
ok($c->is_alive, 'and is acknowledged');
$c->disconnect(props => [ [ session_expiry => 0 ] ]);

###############################################################################

sub publish {
    my ($n) = @_;

    $publisher->publish_wait('q', $n, qos => 2);
    $publisher->publish_wait('r', $n, qos => 1);
}


sub messages {
    my ($c, $n) = @_;

    return grep { defined } map { $c->recv_message(5) } 1 .. $n;
}

###############################################################################
