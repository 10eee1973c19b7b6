#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Catching up with a stream that goes on: sessions that come and go while
# others publish, through filters that overlap, at any worker.  Each message
# arrives once, and those of a publisher in their order; of QoS 1 those that
# were not acknowledged may come again.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More tests => 2 * 6;

use constant { PUBLISHERS => 4, EACH => 300 };

###############################################################################

my $t = MqttTest->new;

$t->write_conf(workers => 2, server => 'mqtt_send_window 20;');
$t->run;

# the filters that a message matches, of three sessions

my %filters = (
    one  => [ 'stream/+' ],
    two  => [ 'stream/+', 'stream/#' ],
    four => [ 'stream/#', '+/0', '+/1', 'stream/2' ],
);

for my $qos (1, 2) {
    my %session;

    for my $name (sort keys %filters) {
        my $s = $session{$name} = { name => $name, qos => $qos };

        connect_session($s);
        $s->{client}->subscribe(map { $_ => $qos } @{ $filters{$name} });
    }

    my @publishers = map { $t->client(version => 4) } 1 .. PUBLISHERS;
    my $turn = 0;

    MqttTest::Client->publish_many(\@publishers,
        count => EACH, qos => $qos, window => 10,
        topic => sub { "stream/$_[1]" =~ s/\d+$/$_[1] % 3/er },
        payload => sub { "$_[0]{client_id} $_[1]" },
        until => sub {
            my $s = $session{ (sort keys %session)[ $turn++ % 3 ] };

            take($s);

            # now and then the connection is lost, or ended

            if (rand() < 0.02) {
                rand() < 0.5 ? $s->{client}->abort : $s->{client}->disconnect;
                connect_session($s);
            }

            return 0;
        });

    for my $s (map { $session{$_} } sort keys %session) {
        wait_for { take($s); keys %{ $s->{got} } == PUBLISHERS * EACH } 20;

        my $twice = grep { $_ > 1 } values %{ $s->{got} };

        is_deeply([ scalar keys %{ $s->{got} }, $s->{disorder} // 0,
                    $qos == 2 ? $twice : 0 ],
                  [ PUBLISHERS * EACH, 0, 0 ],
                  "QoS $qos, $s->{name}: all, in order"
                  . ($qos == 2 ? ', once' : ''));

        is($s->{client}->recv_message(0.1), undef,
           "QoS $qos, $s->{name}: nothing else");

        $s->{client}->disconnect;
        $t->client(version => 4, client_id => "session-$s->{name}")
          ->disconnect;
    }

    $_->disconnect for @publishers;
}


sub connect_session {
    my ($s) = @_;

    $s->{client} = $t->client(version => 4, clean => 0,
                              client_id => "session-$s->{name}");
    $s->{connections}++;
}


# what has come so far

sub take {
    my ($s) = @_;

    while (my $m = $s->{client}->recv_message(0.001)) {
        my ($publisher, $n) = split / /, $m->{payload};

        next if $s->{got}{ $m->{payload} }++;

        # a message that is new comes behind all before it

        $s->{disorder}++ if $n < ($s->{last}{"$publisher $m->{topic}"} // -1);
        $s->{last}{"$publisher $m->{topic}"} = $n;
    }
}

###############################################################################
